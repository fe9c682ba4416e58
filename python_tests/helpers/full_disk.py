"""``tedg-train`` on a disk that fills up: ``python full_disk.py FIRST LAST <its arguments>``.

From update FIRST (from 0) to before update LAST no file of the trainer can grow beyond 100 bytes.
"""

import contextlib
import sys

from faulty_disk import file_size_limit

from tedg_fast import cli
from tedg_fast.train.trainer import Trainer


def main(first, last, arguments):
    sys.argv = ["tedg-train", *arguments]
    iterate, updates, disk = Trainer._iterate, [], contextlib.ExitStack()

    def filling_up(self, *args):
        if len(updates) == first:
            disk.enter_context(file_size_limit(100))
        if len(updates) == last:
            disk.close()
        updates.append(1)
        iterate(self, *args)

    Trainer._iterate = filling_up
    cli.train()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
