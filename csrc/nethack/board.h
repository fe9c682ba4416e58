// Where squares are, and sets of them as bits.
//
// How a square is numbered: the map is padded by one square on every side, and row y,
// column x is square (y + 1) * kWidth + x + 1. A Board holds one bit for each square, a word for
// each column: a step north or south shifts all words, a step west or east reads the next word, so
// loops over the columns need no shuffles and compile to plain vector code.
#pragma once

#include <cstdint>
#include <cstring>

namespace tedg::nethack {

// Loops over whole boards are compiled for several vector widths; the loader picks one.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__)
#define TEDG_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define TEDG_VECTOR_CLONES
#endif

inline constexpr int kRows = 21;
inline constexpr int kColumns = 79;
inline constexpr int kSquares = kRows * kColumns;
inline constexpr int kWidth = kColumns + 2;
inline constexpr int kArea = (kRows + 2) * kWidth;

// The eight neighbours in action order: north, east, south, west, then the diagonals.
inline constexpr int kStepRow[8] = {-1, 0, 1, 0, -1, 1, 1, -1};
inline constexpr int kStepColumn[8] = {0, 1, 0, -1, 1, 1, -1, -1};
inline constexpr unsigned kDiagonals = 0xf0;

constexpr int neighbour(int direction) {
  return kStepRow[direction] * kWidth + kStepColumn[direction];
}

// A square's column and its bit there; both count the padding.
struct Place {
  int column;
  int row;
  uint32_t bit() const { return 1u << row; }
};

inline Place place_of(int square) { return {square % kWidth, square / kWidth}; }

struct alignas(64) Board {
  // Padded column 1 lies at a vector's start. Loops run over [kFirst, kEnd) and read one word more
  // on either side, which is always 0.
  static constexpr int kFirst = 8;
  static constexpr int kEnd = 88;
  uint32_t words[96];

  const uint32_t* columns() const { return words + kFirst - 1; }
  uint32_t* columns() { return words + kFirst - 1; }
  uint32_t operator[](int column) const { return columns()[column]; }
  uint32_t& operator[](int column) { return columns()[column]; }

  bool has(Place at) const { return ((*this)[at.column] >> at.row) & 1; }
  void flip(Place at) { (*this)[at.column] ^= at.bit(); }
  void clear_margins() { words[kFirst - 1] = words[kEnd] = 0; }
  void clear() { std::memset(words, 0, sizeof(words)); }
};

// Whether any bit is set.
inline bool any(const Board& board) {
  uint32_t all = 0;
  for (int i = Board::kFirst; i < Board::kEnd; ++i) all |= board.words[i];
  return all != 0;
}

inline constexpr uint32_t kMapRows = ((1u << kRows) - 1) << 1;  // the bits that are no padding

// The three squares from one north to one south of `at`, moved to bits 0-2.
inline unsigned three(const Board& board, int column, int row) {
  return (board[column] >> (row - 1)) & 7;
}

// Which of the eight neighbours are set, as bits in action order.
inline unsigned around(const Board& board, Place at) {
  const unsigned west = three(board, at.column - 1, at.row);
  const unsigned middle = three(board, at.column, at.row);
  const unsigned east = three(board, at.column + 1, at.row);
  return (middle & 1) | (east & 2) | (middle & 4) | (west & 2) << 2 | (east & 1) << 4 |
         (east & 4) << 3 | (west & 4) << 4 | (west & 1) << 7;
}

}  // namespace tedg::nethack
