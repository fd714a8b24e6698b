"""The emulator as a child process: what it prints is collected, waited for with patterns, answered.

Deadlines are there for hangs only: they are far above what the slowest host needs.
"""

import os
import pty
import re
import signal
import subprocess
import tempfile
import termios
import threading
import time

HANG = int(os.environ.get('MIMUS_HANG') or 1200)  # seconds without the awaited text; nothing that works takes that long
TAIL = 3000  # characters of output in a failure's report

ESCAPES = re.compile(r'\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[c78=>])|\x0f|\x0e')


class Failure(Exception):
    """What was expected did not happen; the text says what and where."""


def strip_escapes(text):
    """Without the terminal's control sequences."""
    return ESCAPES.sub('', text)


class Emulator:
    """One run of the emulator (or of any program) with its console on a pseudo-terminal.

    argv: the command line. stdin: 'pty' or 'null'. env: additional environment variables.
    """

    def __init__(self, argv, stdin='pty', env=None):
        self.argv = [str(a) for a in argv]
        self.text = ''          # everything printed so far, without carriage returns
        self.position = 0       # how much of it expect() has consumed
        self.status = None      # exit status; negative: the signal
        self.rusage = None
        self._ended = False     # the terminal is closed
        self._arrived = threading.Condition()
        self._errors = tempfile.TemporaryFile()
        self._master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.argv, stdin=slave if stdin == 'pty' else subprocess.DEVNULL, stdout=slave, stderr=self._errors,
            start_new_session=True, env=dict(os.environ, **(env or {})))
        os.close(slave)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def _read(self):
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other side is closed
                data = b''
            with self._arrived:
                self.text += data.decode('latin-1').replace('\r', '')
                self._ended = not data
                self._arrived.notify_all()
            if not data:
                return

    # ---- what went wrong ----

    def errors(self):
        """Standard error so far, also of an emulator that has ended."""
        if not self._errors.closed:
            self._errors.seek(0)
            self._error_text = self._errors.read().decode('utf-8', 'replace')
        return self._error_text

    def fail(self, message):
        """Raise Failure with the command line and the end of all output."""
        tail = strip_escapes(self.text)[-TAIL:]
        raise Failure('%s\n  command: %s\n  output (tail):\n%s\n  standard error:\n%s' % (
            message, ' '.join(shell_word(a) for a in self.argv), indent(tail), indent(self.errors()[-TAIL:])))

    # ---- the conversation ----

    def send(self, text):
        """Type the text."""
        data = text.encode('latin-1')
        while data:
            data = data[os.write(self._master, data):]

    def expect(self, pattern, timeout=HANG):
        """Wait until the pattern appears in what was not consumed yet; returns the match."""
        compiled = re.compile(pattern, re.DOTALL)
        deadline = time.monotonic() + timeout
        with self._arrived:
            while True:
                match = compiled.search(self.text, self.position)
                if match:
                    self.position = match.end()
                    return match
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._arrived.wait(left)
        if self._ended:
            self.reap()
            self.fail("ended (status %s) before it printed '%s'" % (self.status, pattern))
        self.fail("did not print '%s' within %d s" % (pattern, timeout))

    def forget(self):
        """Consume everything printed so far."""
        with self._arrived:
            self.position = len(self.text)

    def wait_file(self, path, text, count=1, timeout=HANG):
        """Wait until the file that the emulator writes holds the text so often."""
        deadline = time.monotonic() + timeout
        while True:
            if os.path.exists(path):
                with open(path, errors='replace') as written:
                    if written.read().count(text) >= count:
                        return
            if time.monotonic() > deadline:
                self.fail("%s does not hold '%s' %d times within %d s" % (path, text, count, timeout))
            time.sleep(0.02)

    # ---- the end ----

    def reap(self, timeout=HANG):
        """Wait for the process; returns its exit status."""
        deadline = time.monotonic() + timeout
        while self.status is None:
            # Popen must not reap it first (it does in its poll() and send_signal()): the usage would be lost.
            pid, status, rusage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.process.returncode = self.status
                self.rusage = rusage
            elif time.monotonic() > deadline:
                self.fail('did not end within %d s' % timeout)
            else:
                time.sleep(0.02)
        return self.status

    def finish(self, status=0, timeout=HANG):
        """Wait for the end and require this exit status."""
        if self.reap(timeout) != status:
            self.fail('exit status %s instead of %d' % (self.status, status))

    def close(self):
        """Kill what still runs and free everything. May be called again."""
        if self.status is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.reap()
        if self._master >= 0:
            with self._arrived:
                self._arrived.wait_for(lambda: self._ended, 10)
            os.close(self._master)
            self._master = -1
            self.errors()
            self._errors.close()

    # ---- what the host spends ----

    def cpu_seconds(self):
        """Host CPU time of the running process so far, all its threads."""
        with open('/proc/%d/stat' % self.process.pid) as stat:
            fields = stat.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def peak_memory(self):
        """Peak resident memory of the running process so far, in KiB."""
        with open('/proc/%d/status' % self.process.pid) as status:
            return int(re.search(r'VmHWM:\s*(\d+)', status.read()).group(1))

    # ---- the monitor, when it is what this terminal shows ----

    PROMPT = r'\((?:mimus|qemu)\) '

    def monitor(self, command, timeout=HANG):
        """Give a monitor command; returns what it printed. The prompt must have been seen."""
        self.send(command + '\n')
        self.expect(r'\n')
        return strip_escapes(self.expect(r'(.*?)' + self.PROMPT, timeout).group(1))

    def monitor_start(self):
        """Wait for the monitor's first prompt."""
        self.expect(self.PROMPT)

    def screen(self, columns=80, rows=25, first=0):
        """The text on the VGA screen (mode 3 at b8000), rows from the first on, read through the monitor."""
        dump = self.monitor('xp /%dxh 0x%x' % (columns * rows, 0xb8000 + 2 * columns * first))
        cells = [int(word, 16) & 0xff for line in dump.splitlines() if ':' in line
                 for word in re.findall(r'0x([0-9a-f]{4})\b', line.split(':', 1)[1])]
        text = ''.join(chr(c) if 32 <= c < 127 else ' ' for c in cells)
        return [text[i:i + columns].rstrip() for i in range(0, len(text), columns)]

    def expect_screen(self, pattern, timeout=HANG, pause=0.5):
        """Look at the screen until the pattern is on it; returns the screen as one string."""
        deadline = time.monotonic() + timeout
        while True:
            screen = '\n'.join(self.screen())
            if re.search(pattern, screen):
                return screen
            if time.monotonic() > deadline:
                self.fail("the screen did not show '%s' within %d s" % (pattern, timeout))
            time.sleep(pause)


def indent(text):
    return '\n'.join('    ' + line for line in text.splitlines())


def shell_word(word):
    return word if re.fullmatch(r'[\w@%+=:,./-]+', word) else "'" + word.replace("'", "'\\''") + "'"
