"""What every test may count on, however the suite was started."""

import signal

# A shell lets its background jobs ignore Ctrl-C, and all processes of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
