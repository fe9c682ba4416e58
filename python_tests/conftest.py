"""What every test may count on, however the suite was started."""

import signal

# A shell lets its background jobs ignore Ctrl-C, and all processes of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# What nohup starts ignores a closed terminal; the tests that send SIGHUP need its usual effect.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
