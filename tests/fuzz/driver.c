/* Runs a fuzz target without libFuzzer: the inputs of a corpus file, one line of hexadecimal digits each, then
 * random variations of them. Usage: TARGET CORPUS [VARIATIONS [SEED]] */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define MAX_INPUT 4096

struct corpus {
    struct { uint8_t *data; size_t size; } *input;
    size_t num;
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t parse_hex(const char *line, uint8_t *out)
{
    size_t n = 0;

    while (n < MAX_INPUT && isxdigit((unsigned char)line[0]) && isxdigit((unsigned char)line[1])) {
        char digits[3] = { line[0], line[1], 0 };
        out[n++] = (uint8_t)strtoul(digits, NULL, 16);
        line += 2;
    }
    return n;
}

static void read_corpus(struct corpus *c, const char *path)
{
    FILE *f = fopen(path, "r");
    uint8_t bytes[MAX_INPUT];
    char *line = NULL;
    size_t room = 0;

    if (!f) {
        perror(path);
        exit(2);
    }
    while (getline(&line, &room, f) > 0) {
        size_t n = parse_hex(line, bytes);
        c->input = realloc(c->input, (c->num + 1) * sizeof(c->input[0]));
        c->input[c->num].data = memcpy(malloc(n + 1), bytes, n);
        c->input[c->num++].size = n;
    }
    free(line);
    fclose(f);
}

/* A few bytes changed, or the tail of another input in place of the own. */
static size_t vary(const struct corpus *c, uint64_t *random, uint8_t *out)
{
    size_t which = next_random(random) % c->num, other = next_random(random) % c->num, n = c->input[which].size;

    memcpy(out, c->input[which].data, n);
    if (next_random(random) % 3 == 0 && n && c->input[other].size) {
        size_t from = next_random(random) % c->input[other].size, at = next_random(random) % n;
        size_t len = c->input[other].size - from;
        if (len > MAX_INPUT - at)
            len = MAX_INPUT - at;
        memcpy(out + at, c->input[other].data + from, len);
        n = at + len;
    }
    for (unsigned i = (unsigned)(next_random(random) % 4); i-- && n;)
        out[next_random(random) % n] = (uint8_t)next_random(random);
    return n;
}

int main(int argc, char **argv)
{
    unsigned long variations = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
    uint64_t random = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    struct corpus c = { 0 };
    uint8_t bytes[MAX_INPUT];

    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS [VARIATIONS [SEED]]\n", argv[0]);
        return 2;
    }
    read_corpus(&c, argv[1]);
    for (size_t i = 0; i < c.num; i++)
        LLVMFuzzerTestOneInput(c.input[i].data, c.input[i].size);
    for (unsigned long i = 0; i < variations && c.num; i++) {
        size_t n = vary(&c, &random, bytes);
        LLVMFuzzerTestOneInput(bytes, n);
    }
    printf("%zu inputs and %lu variations\n", c.num, variations);
    for (size_t i = 0; i < c.num; i++)
        free(c.input[i].data);
    free(c.input);
    return 0;
}
