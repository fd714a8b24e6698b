"""What guests are made of: Debian packages from the cache, initramfs, disk images."""

import fcntl
import glob
import os
import shutil
import struct
import subprocess

from emulator import Failure
from suite import Skip

LIB = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(LIB))


def cache_directory():
    return os.path.abspath(os.environ.get('MIMUS_CACHE') or os.path.join(TOP, 'build', 'guest'))


class _Lock:
    """One at a time makes things in the cache: threads and processes."""

    def __enter__(self):
        os.makedirs(cache_directory(), exist_ok=True)
        self.file = open(os.path.join(cache_directory(), 'lock'), 'w')
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *unused):
        self.file.close()


def command(*argv, **more):
    """Run a host tool; Failure with its output when it fails."""
    try:
        done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **more)
    except OSError as error:
        raise Failure('%s: %s' % (argv[0], error.strerror)) from error
    text = done.stdout.decode('utf-8', 'replace')
    if done.returncode:
        raise Failure('%s failed:\n%s' % (' '.join(str(a) for a in argv), text[-3000:]))
    return text


def package(arch, name):
    """Directory of an unpacked Debian package."""
    with _Lock():
        command(os.path.join(LIB, 'fetch'), cache_directory(), arch, name)
    return os.path.join(cache_directory(), arch, name)


def package_file(arch, name, pattern):
    """The one file in an unpacked package that the pattern fits."""
    found = glob.glob(os.path.join(package(arch, name), pattern))
    if len(found) != 1:
        raise Failure('%s for %s: %d files are called %s' % (name, arch, len(found), pattern))
    return found[0]


KERNEL_PACKAGE = {'i386': 'linux-image-686+dep', 'amd64': 'linux-image-amd64+dep'}


def kernel(arch):
    return package_file(arch, KERNEL_PACKAGE[arch], 'boot/vmlinuz-*')


def initramfs(arch):
    """The initramfs of tests/lib/mkinitramfs."""
    busybox = os.path.join(package(arch, 'busybox-static'), 'bin', 'busybox')
    maker = os.path.join(LIB, 'mkinitramfs')
    image = os.path.join(cache_directory(), arch, 'initramfs.gz')
    with _Lock():
        if not os.path.exists(image) or os.path.getmtime(image) < os.path.getmtime(maker):
            command(maker, busybox, image)
    return image


def initramfs_with(arch, directory, image):
    """The initramfs with the files of a directory over it, as a new file `image`."""
    first = initramfs(arch)
    with open(image, 'wb') as out:
        with open(first, 'rb') as data:
            shutil.copyfileobj(data, out)
        subprocess.run('find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 -n', shell=True, check=True,
                       cwd=directory, stdout=out)
    return image


def selftests(arch):
    """The initramfs with the kernel's checks of the processor behind it (tests/lib/mkselftests)."""
    source = package_file('amd64', 'linux-source+dep', 'usr/src/linux-source-*.tar.xz')
    maker = os.path.join(LIB, 'mkselftests')
    checks = os.path.join(cache_directory(), 'selftests.gz')
    image = os.path.join(cache_directory(), arch, 'selftests.gz')
    first = initramfs(arch)
    with _Lock():
        if not os.path.exists(checks) or os.path.getmtime(checks) < os.path.getmtime(maker):
            command(maker, source, checks)
        if not os.path.exists(image) or os.path.getmtime(image) < os.path.getmtime(checks):
            with open(image + '.new', 'wb') as out:
                for part in first, checks:
                    with open(part, 'rb') as data:
                        shutil.copyfileobj(data, out)
            os.rename(image + '.new', image)
    return image


def bench_guest(arch, sources):
    """The benchmark's program, for the host, and an initramfs with it (tests/lib/mkbench)."""
    maker = os.path.join(LIB, 'mkbench')
    inputs = [maker] + sorted(glob.glob(os.path.join(sources, '*')))
    name = os.path.join(cache_directory(), arch, 'bench')
    program, layer, image = name, name + '.layer.gz', name + '.gz'
    first = initramfs(arch)
    with _Lock():
        if not os.path.exists(image) or os.path.getmtime(image) < max(map(os.path.getmtime, [*inputs, first])):
            command(maker, {'amd64': '64', 'i386': '32'}[arch], sources, layer, program)
            with open(image + '.new', 'wb') as out:
                for part in first, layer:
                    with open(part, 'rb') as data:
                        shutil.copyfileobj(data, out)
            os.rename(image + '.new', image)
    return program, image


# ---- a disk with a Debian on it ----

def debian_mirror():
    """Mirror and release of the machine itself, from apt's view of its sources. Inside the lock."""
    command(os.path.join(LIB, 'fetch'), '--lists', cache_directory(), 'amd64')
    config = dict(os.environ, APT_CONFIG=os.path.join(cache_directory(), 'apt-amd64', 'apt.conf'))
    targets = command('apt-get', 'indextargets', '--format', '$(SITE) $(RELEASE) $(CODENAME) $(COMPONENT)',
                      'Created-By: Packages', env=config)
    for line in targets.splitlines():
        site, release, codename, component = (line.split(' ') + [''] * 4)[:4]
        if component == 'main' and codename and '-' not in release and '-' not in codename:
            return site, codename
    raise Skip('no Debian mirror in the apt configuration')


def _make_root(arch, directory):
    """A minimal Debian that gives a root shell on the serial console."""
    mirror, release = debian_mirror()
    command('debootstrap', '--variant=minbase', '--arch=' + arch,
            '--include=%s,grub-pc-bin,grub-common,systemd-sysv,udev' % KERNEL_PACKAGE[arch].partition('+')[0],
            release, directory, mirror,
            env=dict(os.environ, DEBIAN_FRONTEND='noninteractive', LC_ALL='C'))
    command('chroot', directory, 'passwd', '-d', 'root')
    with open(os.path.join(directory, 'etc/fstab'), 'w') as fstab:
        fstab.write('/dev/sda1 / ext4 errors=remount-ro 0 1\n')
    with open(os.path.join(directory, 'etc/hostname'), 'w') as hostname:
        hostname.write('diskguest\n')
    service = os.path.join(directory, 'etc/systemd/system/serial-getty@ttyS0.service.d')
    os.makedirs(service)
    with open(os.path.join(service, 'autologin.conf'), 'w') as conf:
        conf.write('[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %I linux\n')


def _make_grub(root):
    """GRUB's files in the file system; returns boot sector and core image."""
    modules = 'usr/lib/grub/i386-pc'
    grub = os.path.join(root, 'boot/grub')
    os.makedirs(os.path.join(grub, 'i386-pc'))
    for name in os.listdir(os.path.join(root, modules)):
        if name.endswith(('.mod', '.lst')):
            shutil.copy(os.path.join(root, modules, name), os.path.join(grub, 'i386-pc'))
    with open(os.path.join(grub, 'grub.cfg'), 'w') as config:
        config.write('serial --unit=0 --speed=115200\nterminal_input serial console\n'
                     'terminal_output serial console\nset timeout=1\n'
                     'menuentry "Debian" {\n  set root=(hd0,msdos1)\n'
                     '  linux /vmlinuz root=/dev/sda1 console=ttyS0 quiet\n  initrd /initrd.img\n}\n')
    command('chroot', root, 'grub-mkimage', '-O', 'i386-pc', '-o', '/boot/grub/core.img', '-p',
            '(hd0,msdos1)/boot/grub', 'biosdisk', 'part_msdos', 'ext2', 'normal', 'linux', 'serial')
    with open(os.path.join(root, modules, 'boot.img'), 'rb') as boot:
        sector = boot.read()
    with open(os.path.join(grub, 'core.img'), 'rb') as core:
        return sector, core.read()


DISK_SIZE = 2 << 30
PARTITION_START = 1 << 20


def _write_boot_record(image, sector, core):
    """Boot sector with a partition table, and the core image in the gap behind it, where it looks for it."""
    if len(core) > PARTITION_START - 512:
        raise Failure('GRUB core image does not fit before the first partition')
    entry = struct.pack('<B3sB3sII', 0x80, b'\xfe\xff\xff', 0x83, b'\xfe\xff\xff', PARTITION_START // 512,
                        (DISK_SIZE - PARTITION_START) // 512)
    record = sector[:440] + struct.pack('<IH', 0x4d696d75, 0) + entry + bytes(48) + b'\x55\xaa'
    with open(image, 'r+b') as out:
        out.write(record + core)


def disk_image(arch='amd64'):
    """A raw disk: GRUB in the master boot record, Debian on one ext4 partition. Made once; copy before writing."""
    if os.geteuid() != 0:
        raise Skip('debootstrap needs root')
    cache = cache_directory()
    image = os.path.join(cache, 'disk%s.img' % ('' if arch == 'amd64' else '-' + arch))
    with _Lock():
        if os.path.exists(image):
            return image
        root = os.path.join(cache, 'disk.root')
        shutil.rmtree(root, ignore_errors=True)
        _make_root(arch, root)
        sector, core = _make_grub(root)
        shutil.rmtree(os.path.join(root, 'var/cache/apt'), ignore_errors=True)
        shutil.rmtree(os.path.join(root, 'var/lib/apt/lists'), ignore_errors=True)
        with open(image + '.new', 'wb') as new:
            new.truncate(DISK_SIZE)
        command('mke2fs', '-q', '-F', '-t', 'ext4', '-d', root, '-E', 'offset=%d' % PARTITION_START,
                image + '.new', '%dk' % ((DISK_SIZE - PARTITION_START) // 1024))
        _write_boot_record(image + '.new', sector, core)
        shutil.rmtree(root)
        os.rename(image + '.new', image)
    return image


def disk_file(image, path):
    """Content of a file on a disk made by disk_image()."""
    done = subprocess.run(['debugfs', '-R', 'cat ' + path, '%s?offset=%d' % (image, PARTITION_START)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return done.stdout.decode('utf-8', 'replace')
