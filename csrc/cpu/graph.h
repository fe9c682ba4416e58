// The graph of an attention op: checks of its arrays, and how its rows are cut into units of work.
#pragma once

#include "support.h"

namespace tedg {

inline const int32_t* int_data(const Tensor& tensor) {
  return static_cast<const int32_t*>(tensor.const_data_ptr());
}

inline void check_pointers(const char* name, const int32_t* pointers, int64_t rows, int64_t edges) {
  bool rising = pointers[0] == 0 && pointers[rows] == edges;
  for (int64_t i = 0; i < rows; ++i) rising &= pointers[i] <= pointers[i + 1];
  if (!rising) refuse(name, " must rise from 0 to the number of edges, ", edges);
}

inline void check_indices(const char* name, const int32_t* index, int64_t count, int64_t size) {
  uint32_t largest = 0;  // a negative index is huge as an unsigned number
  for (int64_t k = 0; k < count; ++k) {
    largest = std::max(largest, static_cast<uint32_t>(index[k]));
  }
  if (count > 0 && largest >= static_cast<uint64_t>(size)) {
    refuse(name, " must be in [0, ", size, "), got ", static_cast<int32_t>(largest));
  }
}

// Every number of [0, count) once: what is written by it is then whole.
inline void check_permutation(const char* name, const int32_t* index, int64_t count) {
  check_indices(name, index, count, count);
  std::vector<bool> seen(count);
  for (int64_t k = 0; k < count; ++k) {
    if (seen[index[k]]) refuse(name, " must hold each edge once, got ", index[k], " again");
    seen[index[k]] = true;
  }
}

[[noreturn]] __attribute__((noinline, cold)) inline void refuse_transpose(int64_t edge,
                                                                          int64_t target,
                                                                          int64_t source) {
  refuse("t_edge and t_target must be the transpose of rowptr and col, got edge ", edge,
         " of target ", target, " for source ", source);
}

// The arrays t_rowptr, t_target and t_edge are the transpose of rowptr and col. As the positions
// rise within a row, no edge is there twice, so all are there once.
inline void check_transpose(const int32_t* rowptr, const int32_t* col, const int32_t* t_rowptr,
                            const int32_t* t_target, const int32_t* t_edge, int64_t sources,
                            int64_t targets, int64_t edges) {
  check_pointers("t_rowptr", t_rowptr, sources, edges);
  check_indices("t_target", t_target, edges, targets);
  check_indices("t_edge", t_edge, edges, edges);
  for (int64_t j = 0; j < sources; ++j) {
    int64_t last = -1;
    for (int64_t k = t_rowptr[j]; k < t_rowptr[j + 1]; ++k) {
      const int64_t edge = t_edge[k], target = t_target[k];
      if (col[edge] != j || edge < rowptr[target] || edge >= rowptr[target + 1] || edge <= last) {
        refuse_transpose(edge, target, j);
      }
      last = edge;
    }
  }
}

// Sizes and graph of an op's checked arguments, the graph's indices checked.
template <class Problem, class Arguments>
void set_graph(Problem& p, const Arguments& a) {
  p.batch = a.batch();
  p.sources = a.sources();
  p.targets = a.targets();
  p.edges = a.edges();
  p.heads = a.heads();
  p.width = a.width();
  p.negative_slope = a.negative_slope;
  p.rowptr = int_data(a.rowptr);
  p.col = int_data(a.col);
  check_pointers("rowptr", p.rowptr, p.targets, p.edges);
  check_indices("col", p.col, p.edges, p.sources);
}

// Rows cut into runs of about kRunWork edges and rows each: degrees differ by hundreds. The cuts
// do not depend on the number of threads, so neither does any result. A row of many runs' work is
// followed by empty ones: equal numbers of runs are then equal work, as the threads share them.
class Runs {
 public:
  Runs(const int32_t* pointers, int64_t rows, bool cut) : bounds_{0} {
    constexpr int64_t kRunWork = 1024;
    const int64_t work = pointers[rows] + rows;
    const int64_t count = cut ? std::max<int64_t>(1, (work + kRunWork / 2) / kRunWork) : 1;
    for (int64_t run = 1; run <= count; ++run) {
      const int64_t begin = bounds_.back();
      const int64_t end = run == count ? rows : first_row(pointers, rows, work * run / count);
      bounds_.push_back(end);
      most_rows_ = std::max(most_rows_, end - begin);
      most_edges_ = std::max<int64_t>(most_edges_, pointers[end] - pointers[begin]);
    }
  }

  int64_t count() const { return static_cast<int64_t>(bounds_.size()) - 1; }
  int64_t begin(int64_t run) const { return bounds_[run]; }
  int64_t end(int64_t run) const { return bounds_[run + 1]; }
  int64_t most_rows() const { return most_rows_; }
  int64_t most_edges() const { return most_edges_; }

 private:
  // The first row that `work` edges and rows lie before.
  static int64_t first_row(const int32_t* pointers, int64_t rows, int64_t work) {
    int64_t low = 0, high = rows;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (pointers[middle] + middle < work) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  std::vector<int64_t> bounds_;
  int64_t most_rows_ = 0, most_edges_ = 0;
};

}  // namespace tedg
