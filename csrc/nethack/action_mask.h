// Which of the actions a policy may choose, as bits.
#pragma once

#include <cstdint>

#include "view.h"

namespace tedg::nethack {

// Neither impossible nor harmful; all actions where nothing else would be left.
uint32_t allowed_actions(const View& view);

}  // namespace tedg::nethack
