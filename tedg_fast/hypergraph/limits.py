"""How large the parts of a rule file may be. Whatever is larger is refused with its place."""

MAX_FILE_BYTES = 4 * 2**20
MAX_RULES = 4096
MAX_VARIABLES = 2  # of one rule
MAX_WHEN = 32  # conditions of one rule
MAX_ACTIONS = 4  # of one rule
MAX_EFFECTS = 16  # of one rule
PRIORITIES = (-20, 20)

MAX_CHARACTERS = 1000  # of one expression
MAX_PARTS = 500  # of one expression: names, numbers, operators, once named conditions are put in
MAX_NESTING = 40  # levels of the same
MAX_AGGREGATES = 2  # inside each other: count(... any(...) ...)
MAX_STACK = 16  # values that evaluating an expression may have to keep at once
MAX_PROGRAM = 512  # instructions of a compiled expression
MAX_NUMBER = 1e9  # greatest absolute value of a number in an expression
