/* The command line: defaults, every option, and what is refused with which word in the message. */
#include "machine/options.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/cpu.h"

static struct options o;
static struct error err;
static char line[512];
static char *args[64];

/* Parse a command line whose words are separated by blanks. */
static int parse(const char *text)
{
    int n = 0;

    options_free(&o);
    memset(&err, 0, sizeof(err));
    snprintf(line, sizeof(line), "mimus %s", text);
    for (char *w = strtok(line, " "); w; w = strtok(NULL, " "))
        args[n++] = w;
    args[n] = NULL;
    return options_parse(&o, n, args, &err);
}

#define OK(text) ck_assert_msg(parse(text) == 0, "%s: %s", text, err.msg)

static void teardown(void)
{
    options_free(&o);
}

START_TEST(test_defaults)
{
    OK("");
    ck_assert_uint_eq(o.ram_size, 128 << 20);
    ck_assert_str_eq(o.cpu_model, "max");
    ck_assert_str_eq(o.vga, "std");
    ck_assert(!o.interp && o.optimise && !o.one_insn && !o.verify && !o.cache_size);
    ck_assert(!o.nographic && !o.no_reboot && !o.no_shutdown);
    ck_assert(!o.nodefaults && !o.start_stopped && !o.snapshot);
    ck_assert_uint_eq(o.num_drives + o.num_serial + o.num_devices + o.num_chardev + o.num_firmware_dirs, 0);
    ck_assert_str_eq(o.boot_order, "");
    ck_assert(!o.boot_menu && !o.rtc_local && !o.rtc_fixed);
    ck_assert_ptr_null(o.kernel);
    ck_assert_ptr_null(o.monitor);
}
END_TEST

START_TEST(test_memory)
{
    OK("-m 64");
    ck_assert_uint_eq(o.ram_size, 64 << 20);
    OK("-m 3G");
    ck_assert_uint_eq(o.ram_size, UINT64_C(3) << 30);
    OK("-m size=16M");
    ck_assert_uint_eq(o.ram_size, 16 << 20);
    OK("-m 1500000B");
    ck_assert_uint_eq(o.ram_size % 4096, 0);
}
END_TEST

START_TEST(test_engine)
{
    OK("-accel interp,opt=off,verify=on,one-insn-per-tb=on,tb-size=32 -cpu pentium3");
    ck_assert(o.interp && !o.optimise && o.verify && o.one_insn);
    ck_assert_uint_eq(o.cache_size, 32 << 20);
    ck_assert_str_eq(o.cpu_model, "pentium3");
    ck_assert(!o.host_isa_base);
    OK("-accel tcg");
    ck_assert(!o.interp);
    ck_assert_uint_eq(o.hot_after, CPU_HOT_AFTER);
    OK("-accel jit,hot-after=7");
    ck_assert_uint_eq(o.hot_after, 7);
    OK("-accel jit,hot-after=0");
    ck_assert_uint_eq(o.hot_after, 0);
    OK("-accel jit,host-isa=base");
    ck_assert(o.host_isa_base);
    OK("-accel jit,host-isa=base -accel jit,host-isa=native");
    ck_assert(!o.host_isa_base);
    OK("-cpu x86-64-v2,+bmi1,-popcnt,nx=off");
    ck_assert_str_eq(o.cpu_model, "x86-64-v2,+bmi1,-popcnt,nx=off");
    OK("-M pc,accel=interp");
    ck_assert(o.interp);
    OK("-machine type=pc -singlestep");
    ck_assert(o.one_insn);
}
END_TEST

/* What is not given is computed as QEMU from 6.2 on does: cores before sockets before threads. */
START_TEST(test_processors)
{
    static const struct { const char *smp; unsigned sockets, cores, threads; } good[] = {
        { "1", 1, 1, 1 }, { "4", 1, 4, 1 }, { "cpus=4", 1, 4, 1 }, { "4,sockets=2", 2, 2, 1 }, { "4,cores=2", 2, 2, 1 },
        { "4,threads=2", 1, 2, 2 }, { "8,sockets=2,cores=2", 2, 2, 2 }, { "8,threads=2,sockets=2", 2, 2, 2 },
        { "sockets=2,cores=2", 2, 2, 1 }, { "sockets=2", 2, 1, 1 }, { "maxcpus=4", 1, 4, 1 },
        { "cores=3,threads=2", 1, 3, 2 }, { "6,maxcpus=6,sockets=1,cores=3,threads=2", 1, 3, 2 }, { "64", 1, 64, 1 },
        { "0x10,dies=1", 1, 16, 1 },
    };
    char text[128];

    OK("");
    ck_assert(o.topology.sockets == 1 && o.topology.cores == 1 && o.topology.threads == 1);
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text), "-smp %s", good[i].smp);
        OK(text);
        ck_assert_msg(o.topology.sockets == good[i].sockets && o.topology.cores == good[i].cores &&
                      o.topology.threads == good[i].threads, "%s: %u sockets, %u cores, %u threads", text,
                      o.topology.sockets, o.topology.cores, o.topology.threads);
    }
    OK("-smp 4 -smp cpus=1");
    ck_assert_uint_eq(o.topology.cores, 1);
}
END_TEST

START_TEST(test_host_threads)
{
    OK("-smp 2");
    ck_assert(!o.single_thread);
    OK("-smp 2 -accel tcg,thread=multi");
    ck_assert(!o.single_thread);
    OK("-smp 2 -accel tcg,thread=single");
    ck_assert(o.single_thread);
    OK("-smp 2 -accel tcg,thread=single -accel jit");
    ck_assert(!o.single_thread);
    OK("-accel tcg,thread=single"); /* one processor has its thread for itself anyway */
    ck_assert(!o.single_thread);
}
END_TEST

/* Counting makes processors take turns, one too. */
START_TEST(test_icount)
{
    OK("");
    ck_assert(!o.icount);
    OK("-icount shift=3");
    ck_assert(o.icount && o.icount_shift == 3 && o.icount_sleep && o.single_thread && !o.rtc_host);
    OK("-icount 10,sleep=off,align=off -smp 2 -accel jit,thread=single");
    ck_assert(o.icount && o.icount_shift == 10 && !o.icount_sleep && o.single_thread);
    OK("-icount shift=0,sleep=on -smp 2 -rtc base=utc");
    ck_assert(o.icount && !o.icount_shift && o.icount_sleep && o.single_thread && o.rtc_host);
}
END_TEST

START_TEST(test_drives)
{
    OK("-hda a -hdd d -fdb f -cdrom c -drive file=x,,y,format=raw,index=1,snapshot=on,readonly=on disk.img");
    ck_assert_uint_eq(o.num_drives, 6);
    ck_assert_str_eq(o.drive[0].file, "a");
    ck_assert(o.drive[0].bus == DRIVE_IDE && o.drive[0].index == 0 && !o.drive[0].cdrom);
    ck_assert_int_eq(o.drive[1].index, 3);
    ck_assert(o.drive[2].bus == DRIVE_FLOPPY && o.drive[2].index == 1);
    ck_assert(o.drive[3].cdrom && o.drive[3].index == 2);
    ck_assert_str_eq(o.drive[4].file, "x,y");
    ck_assert(o.drive[4].snapshot && o.drive[4].read_only && o.drive[4].index == 1);
    ck_assert_str_eq(o.drive[5].file, "disk.img");
    OK("-drive if=floppy,file=f -drive media=cdrom -drive file=z,bus=1,unit=1");
    ck_assert(o.drive[0].bus == DRIVE_FLOPPY && o.drive[0].index == -1);
    ck_assert(o.drive[1].cdrom && !o.drive[1].file);
    ck_assert_int_eq(o.drive[2].index, 3);
    OK("-drive file=z,unit=1");
    ck_assert_int_eq(o.drive[0].index, 1);
}
END_TEST

START_TEST(test_boot_and_clock)
{
    OK("-boot dc -rtc base=2006-06-17T16:01:21");
    ck_assert_str_eq(o.boot_order, "dc");
    ck_assert(o.rtc_fixed);
    ck_assert_int_eq(o.rtc_start, 1150560081);
    OK("-boot order=c,menu=on -rtc base=localtime,clock=vm");
    ck_assert_str_eq(o.boot_order, "c");
    ck_assert(o.boot_menu && o.rtc_local && !o.rtc_fixed);
    OK("-boot once=d,order=c -rtc base=1970-01-02");
    ck_assert_str_eq(o.boot_order, "c");
    ck_assert_str_eq(o.boot_once, "d");
    ck_assert_int_eq(o.rtc_start, 86400);
    OK("-kernel k -initrd i -append text");
    ck_assert_str_eq(o.initrd, "i");
}
END_TEST

START_TEST(test_the_rest)
{
    OK("--nographic -no-reboot -no-shutdown -nodefaults -S -snapshot -vga none -display none -nic none "
       "-net none -serial null -serial file:x -monitor stdio -debugcon null -chardev null,id=c "
       "-device isa-debug-exit -L dir");
    ck_assert(o.nographic && o.no_reboot && o.no_shutdown && o.nodefaults && o.start_stopped && o.snapshot);
    ck_assert_str_eq(o.vga, "none");
    ck_assert_uint_eq(o.num_serial, 2);
    ck_assert_str_eq(o.serial[1], "file:x");
    ck_assert_str_eq(o.monitor, "stdio");
    ck_assert_str_eq(o.debugcon, "null");
    ck_assert_str_eq(o.chardev[0], "null,id=c");
    ck_assert_str_eq(o.device[0].driver, "isa-debug-exit");
    ck_assert_str_eq(o.device[0].args, "");
    ck_assert_str_eq(o.firmware_dirs[0], "dir");
    OK("-d in,out -D log -dfilter 0x1000+16 -bios b -name n -device isa-debugcon,iobase=0x402,chardev=c");
    ck_assert_str_eq(o.log_items, "in,out");
    ck_assert_str_eq(o.log_file, "log");
    ck_assert_str_eq(o.log_filter, "0x1000+16");
    ck_assert_str_eq(o.bios, "b");
    ck_assert_str_eq(o.device[0].args, "iobase=0x402,chardev=c");
}
END_TEST

START_TEST(test_refused)
{
    static const struct { const char *line, *says; } bad[] = {
        { "-nonsense", "-nonsense" }, { "-m", "argument" }, { "-hda", "argument" },
        { "-m 0", "-m" }, { "-m lots", "lots" }, { "-m 1T", "64" }, { "-m 512K", "512K" },
        { "-m 64,slots=2", "slots" },
        { "-m -5", "-5" }, { "-smp 0", "'0'" }, { "-smp many", "many" }, { "-smp -1", "-1" }, { "-smp cpus=", "''" }, { "-smp 65", "at most 64" },
        { "-smp 8,sockets=9,cores=8", "sockets (9) * cores (8) * threads (1) is not the number of processors (8)" },
        { "-smp sockets=9,cores=8", "at most 64" }, { "-smp 5,cores=2", "cores (2)" }, { "-smp 1,cores=2", "cores (2)" },
        { "-smp 3,threads=2", "threads (2)" }, { "-smp 4,sockets=0", "'0'" }, { "-smp 4,maxcpus=8", "maxcpus" },
        { "-smp 4,maxcpus=2", "maxcpus" }, { "-smp 4,dies=2", "die" }, { "-smp 4,clusters=1", "clusters" },
        { "-smp 4,maxcpus=99999999999999999999", "99999999999999999999" },
        { "-cpu z80", "z80" }, { "-cpu max,+warp", "warp" }, { "-cpu max,-", "'-'" },
        { "-cpu max,sse=perhaps", "perhaps" }, { "-cpu 486,+sse", "sse needs" },
        { "-accel jit,host-isa=new", "new" },
        { "-accel kvm", "kvm" }, { "-accel jit,opt=perhaps", "perhaps" },
        { "-accel jit,hot-after=2147483648", "too many" }, { "-accel jit,hot-after=often", "hot-after" },
        { "-accel jit,tb-size=5000", "tb-size" }, { "-accel jit,colour=red", "colour" },
        { "-icount shift=auto", "shift=auto" }, { "-icount shift=11", "shift=11" }, { "-icount sleep=off", "shift=" },
        { "-icount shift=1,rr=record", "rr=" }, { "-icount shift=1,align=on", "align=on" },
        { "-icount shift=1,sleep=never", "sleep" }, { "-icount shift=1 -accel jit,thread=multi", "thread=single" },
        { "-accel jit,thread=many", "thread" }, { "-M q35", "q35" }, { "-M pc,usb=on", "usb" },
        { "-M pc,accel=kvm", "kvm" },
        { "-drive format=raw", "file" }, { "-drive file=x,format=qcow9", "qcow9" },
        { "-drive file=x,if=virtio", "virtio" },
        { "-drive file=x,index=4", "4" }, { "-drive file=x,if=floppy,index=2", "floppy" },
        { "-drive file=x,media=tape", "tape" },
        { "-drive file=x,unit=2", "unit" }, { "-drive file=x,bus=0,unit=3", "unit" },
        { "-drive file=x,wrong=1", "wrong" },
        { "-drive file=x,bus=9223372036854775808", "channel" },
        { "-boot xyz", "xyz" }, { "-boot acdna", "acdna" }, { "-boot menu=perhaps", "perhaps" },
        { "-rtc base=tomorrow", "tomorrow" }, { "-rtc clock=rt", "rt" }, { "-rtc drift=1", "drift" },
        { "-vga cirrus", "cirrus" }, { "-display gtk", "gtk" }, { "-nic user", "user" },
        { "-device e1000", "e1000" },
        { "-serial a -serial b -serial c -serial d -serial e", "-serial" }, { "-initrd x", "-kernel" },
        { "-append x", "-kernel" }, { "a b c d e f g h i", "many" },
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(parse(bad[i].line) == -EINVAL, "%s", bad[i].line);
        ck_assert_msg(strstr(err.msg, bad[i].says) != NULL, "%s: '%s'", bad[i].line, err.msg);
    }
}
END_TEST

START_TEST(test_help_is_done)
{
    static const char *const lines[] = { "-help", "--help", "-h", "-version", "-cpu help", "-d help",
        "-M help", "-device help" };
    int null = open("/dev/null", O_WRONLY);

    fflush(stdout);
    dup2(null, 1);
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        ck_assert_msg(parse(lines[i]) == 1, "%s", lines[i]);
    close(null);
}
END_TEST

Suite *options_suite(void)
{
    Suite *s = suite_create("options");
    TCase *t = tcase_create("options");

    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_add_test(t, test_defaults);
    tcase_add_test(t, test_memory);
    tcase_add_test(t, test_engine);
    tcase_add_test(t, test_processors);
    tcase_add_test(t, test_host_threads);
    tcase_add_test(t, test_icount);
    tcase_add_test(t, test_drives);
    tcase_add_test(t, test_boot_and_clock);
    tcase_add_test(t, test_the_rest);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_help_is_done);
    suite_add_tcase(s, t);
    return s;
}
