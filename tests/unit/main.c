/* Runner of the unit tests: all suites, or those named on the command line.
 * suites.h is written by the Makefile: one SUITE(name) for each test_name.c. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

struct entry {
    const char *name;
    Suite *(*suite)(void);
};

static const struct entry entries[] = {
#define SUITE(name) { #name, name##_suite },
#include "suites.h"
#undef SUITE
};

#define NUM_ENTRIES (sizeof(entries) / sizeof(entries[0]))

static bool selected(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return argc < 2;
}

static bool known(const char *name)
{
    for (size_t i = 0; i < NUM_ENTRIES; i++)
        if (!strcmp(entries[i].name, name))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!known(argv[i])) {
            fprintf(stderr, "unit: no suite '%s'\n", argv[i]);
            return EXIT_FAILURE;
        }
    }
    setenv("CK_DEFAULT_TIMEOUT", "30", 0);
    SRunner *runner = srunner_create(NULL);
    for (size_t i = 0; i < NUM_ENTRIES; i++)
        if (selected(entries[i].name, argc, argv))
            srunner_add_suite(runner, entries[i].suite());
    srunner_set_fork_status(runner, CK_FORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
