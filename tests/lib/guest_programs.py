"""Debian programs for an initramfs: files of packages, and the shared libraries that they need."""

import glob
import os
import re
import shutil
import subprocess

import guest
from emulator import Failure

NEEDED = re.compile(r'\(NEEDED\).*\[(.+)\]|program interpreter: (/[^\]]+)\]')


def _needs(path):
    """Names of the shared libraries that a file needs, and the path of its program interpreter."""
    if os.path.islink(path) or not os.path.isfile(path):
        return []
    with open(path, 'rb') as file:
        if file.read(4) != b'\x7fELF':
            return []
    text = guest.command('readelf', '-dl', path, env=dict(os.environ, LC_ALL='C'))
    return [library or interpreter for library, interpreter in NEEDED.findall(text)]


def _libraries(roots):
    """Where each shared library is: name -> file."""
    found = {}
    for root in roots:
        for pattern in 'lib*/*', 'lib/*/*', 'usr/lib/*', 'usr/lib/*/*':
            for path in glob.glob(os.path.join(root, pattern)):
                if '.so' in os.path.basename(path):
                    found.setdefault(os.path.basename(path), path)
    return found


def _copy(source, destination):
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    if not os.path.lexists(destination):
        shutil.copy2(source, destination)


def _add_libraries(roots, directory, paths):
    """The libraries that the files need, those that these need, and so on."""
    libraries = _libraries(roots)
    done = set()
    while paths:
        for need in _needs(paths.pop()):
            name = os.path.basename(need)
            if need in done:
                continue
            done.add(need)
            if name not in libraries:
                raise Failure('no package has the library %s' % name)
            _copy(libraries[name], os.path.join(directory, need.lstrip('/') if '/' in need else 'lib/' + name))
            paths.append(os.path.realpath(libraries[name]))


def add(arch, packages, patterns, directory):
    """Put the files of unpacked packages that the patterns fit into the directory, with what they need. A pattern
    is a path below the root; 'FROM=TO' fits one file and gives it another name."""
    roots = [guest.package(arch, name) for name in packages]
    added = []
    for pattern in patterns:
        source, _, name = pattern.partition('=')
        found = [(root, path) for root in roots for path in glob.glob(os.path.join(root, source))]
        if not found or name and len(found) != 1:
            raise Failure('%d files in %s are called %s' % (len(found), ' '.join(packages), source))
        for root, path in found:
            destination = os.path.join(directory, name or os.path.relpath(path, root))
            if os.path.isdir(path):
                shutil.copytree(path, destination, symlinks=True, dirs_exist_ok=True)
            else:
                _copy(path, destination)
            added.append(path)
    _add_libraries(roots, directory, added)


def pack(directory, image, parts):
    """Make an initramfs `image` of other ones and of a directory. What is added is not compressed: to unpack it
    costs the guest more than to copy it."""
    with open(image, 'wb') as out:
        for part in parts:
            with open(part, 'rb') as data:
                shutil.copyfileobj(data, out)
            out.write(bytes(-out.tell() % 4))  # an archive begins at a multiple of four
        out.flush()
        subprocess.run('find . | sort | cpio --quiet -o -H newc -R 0:0', shell=True, check=True, cwd=directory,
                       stdout=out)
    return image
