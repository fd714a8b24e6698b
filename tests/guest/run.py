#!/usr/bin/env python3
"""Builds the bare-metal guest programs and runs each on every engine.

usage: run.py --mimus BIN --build DIR [--accel ENGINE ...] [--jobs N] [--deadline SECONDS] [NAMES]
NAMES are programs (real, prot, ...; all if none). ENGINE is what -accel takes; the default is every engine.
Prints one line for each program and engine, the failing checks below it, and "N passed, N failed"."""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ENGINES = ["jit", "jit,hot-after=1", "interp", "jit,opt=off", "jit,one-insn-per-tb=on"]
DEADLINE = 120.0  # seconds; only a hang gets there
PASSED = 0x10 << 1 | 1  # exit status of isa-debug-exit

# Programs that run more than once, with another kernel command line; these end in a reset.
VARIANTS = {"reset": ["triple", "triple-idt", "triple-long", "port92", "kbd", "cf9"]}

# Programs named smp_*: with so many processors, on these engines.
PROCESSORS = [2, 4]
SMP_ENGINES = ["jit,thread=multi", "jit,thread=single", "interp"]
SMP_MORE = {"smp_code": ["jit,hot-after=1"]}


def build(build_dir):
    """Makes every program; returns the directory with the images."""
    out = os.path.join(os.path.abspath(build_dir), "guest")
    os.makedirs(out, exist_ok=True)
    jobs = "-j%d" % (os.cpu_count() or 1)
    done = subprocess.run(["make", "-s", jobs, "-f", os.path.join(HERE, "Makefile"), "OUT=" + out],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError("guest programs do not build:\n" + done.stdout)
    return out


def programs():
    return sorted(f[:-2] for f in os.listdir(HERE) if f.endswith(".c"))


def smp_words(processors, engine):
    """The command line that lib/smp.c reads."""
    words = ["cpus=%d" % processors]
    if "interp" in engine or "thread=single" in engine:
        words.append("few")
    if "thread=single" in engine or os.cpu_count() == 1:
        words.append("single")
    return " ".join(words)


def cases(names, engines):
    """Tuples of program, kernel command line, number of processors, engine."""
    for name in names:
        if name.startswith("smp_"):
            for engine in engines or SMP_ENGINES + SMP_MORE.get(name, []):
                for n in PROCESSORS:
                    yield name, smp_words(n, engine), n, engine
            continue
        for variant in VARIANTS.get(name, [""]):
            for engine in engines or ENGINES:
                yield name, variant, 1, engine


def command(mimus, images, name, variant, processors, engine):
    line = [mimus, "-m", "64", "-nodefaults", "-display", "none", "-vga", "none", "-no-reboot",
            "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
            "-kernel", os.path.join(images, name + ".elf"),
            "-accel", engine]
    if processors > 1:
        line += ["-smp", str(processors)]
    words = [variant]
    if "qemu-system" in os.path.basename(mimus):  # a stand-in while developing
        line += ["-cpu", "max,la57=off,vendor=GenuineIntel"]
        words.append("stand-in")
    return line + ["-append", " ".join(w for w in words if w)]


def run_one(mimus, images, deadline, name, variant, processors, engine):
    """Returns (passed, one line, failing output)."""
    start = time.monotonic()
    try:
        done = subprocess.run(command(mimus, images, name, variant, processors, engine),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=deadline)
        text, status = done.stdout.decode("latin-1"), done.returncode
        errors = done.stderr.decode("latin-1")
    except subprocess.TimeoutExpired as e:
        text, status, errors = (e.stdout or b"").decode("latin-1"), "hang", ""
    except OSError as e:
        text, status, errors = "", "none", str(e)
    summary = re.findall(r"^(?:PASS \d+|FAIL \d+ of \d+)$", text, re.M)
    ends_in_reset = name in VARIANTS
    good = bool(summary) and summary[-1].startswith("PASS") and status == (0 if ends_in_reset else PASSED)
    said = summary[-1] if summary else "no summary"
    if good:
        said = summary[-1].replace("PASS ", "") + " checks"
    else:
        said += ", exit status %s" % status
    label = name + (" " + variant.split()[0] if variant else "")
    line = "%s guest %-18s %-24s %s, %.1f s" % ("ok  " if good else "FAIL", label, engine, said,
                                               time.monotonic() - start)
    details = "" if good else "".join("    %s\n" % s for s in (text + errors).splitlines() if s.strip())
    return good, line, details


def run(mimus, build_dir, names=(), engines=(), jobs=0, deadline=DEADLINE, stream=sys.stdout):
    """Runs the programs; returns (passed, failed)."""
    images = build(build_dir)
    counts = [0, 0]
    todo = list(cases(list(names) or programs(), list(engines)))
    # Several processors want the host's cores for themselves.
    one, several = ([c for c in todo if (c[2] > 1) == smp] for smp in (False, True))
    for batch, at_once in ((one, jobs or os.cpu_count() or 1), (several, 1)):
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for good, line, details in pool.map(lambda c: run_one(mimus, images, deadline, *c), batch):
                counts[not good] += 1
                stream.write(line + "\n" + details)
                stream.flush()
    return counts[0], counts[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mimus", required=True, metavar="BIN")
    parser.add_argument("--build", required=True, metavar="DIR")
    parser.add_argument("--accel", action="append", default=[], metavar="ENGINE")
    parser.add_argument("--parallel", action="store_true", help="only engines whose processors run at once")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--deadline", type=float, default=DEADLINE)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.parallel:
        args.accel += [e for e in SMP_ENGINES if "thread=single" not in e]
    unknown = sorted(set(args.names) - set(programs()))
    if unknown:
        parser.error("no such program: " + " ".join(unknown))
    try:
        passed, failed = run(args.mimus, args.build, args.names, args.accel, args.jobs, args.deadline)
    except RuntimeError as e:
        print(e)
        passed, failed = 0, 1
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
