// A grounder bound to the arrays that its games are read from and written to, for playing one game
// at a time without handing over and checking arrays at every step.
#pragma once

#include "rows.h"

namespace tedg::nethack {

class Bound {
 public:
  // Rows of the arrays are the grounder's games. The caller keeps grounder and arrays alive.
  Bound(Grounder& grounder, const py::object& raw, const py::object& observation,
        const py::object& last, const py::array& shown)
      : grounder_(grounder),
        raw_(raw, grounder.num_games()),
        observation_(grounder, observation, grounder.num_games()),
        last_(grounder, last, grounder.num_games()),
        shown_(shown, "shown", grounder.num_games(), condition_bytes(grounder), true) {}

  // As Grounder::take_in. Throws IndexError where there is no such game.
  int take_in(int64_t game, int64_t last_action) {
    if (game < 0 || game >= grounder_.num_games()) throw py::index_error("no such game");
    taken_ = game;
    return grounder_.take_in(static_cast<int>(game), raw_[game], last_action);
  }

  // Write what was taken in last to its game's row.
  void write() { grounder_.write(observation_[game_taken()]); }
  void write_last() { grounder_.write(last_[game_taken()]); }
  void write_shown() { grounder_.write_conditions(shown_[game_taken()]); }

 private:
  int64_t game_taken() const {
    if (taken_ < 0) throw py::value_error("nothing was taken in yet");
    return taken_;
  }

  Grounder& grounder_;
  RawRows raw_;
  ObservationRows observation_, last_;
  Rows<uint8_t> shown_;
  int64_t taken_ = -1;
};

}  // namespace tedg::nethack
