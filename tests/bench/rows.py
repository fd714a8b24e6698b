"""What is measured: one entry is one row of the table.

A row starts both emulators with the same options and waits for the marker on the console. Later rows that
measure inside of the guest give another `until`.
"""

import guest


class Row:
    """name; options(): the command line behind the accelerator; until: the line that ends the measurement."""

    def __init__(self, name, options, until):
        self.name, self.options, self.until = name, options, until


def boot(arch):
    """A Debian kernel to the first line of user space, on a machine with what both emulators have."""
    def options():
        return ['-m', 256, '-nographic', '-nic', 'none', '-kernel', guest.kernel(arch),
                '-initrd', guest.initramfs(arch), '-append', 'console=ttyS0']
    return Row('boot-' + arch, options, 'user space is up')


ROWS = [boot('i386'), boot('amd64')]
TRANSLATION = ROWS[1]  # after which `info jit` is read
