/* An interrupt line: a wire with one receiver. */
#ifndef MIMUS_HW_IRQ_H
#define MIMUS_HW_IRQ_H

#include <stddef.h>

struct irq_line {
    void (*set)(void *opaque, int n, int level);
    void *opaque;
    int n;
};

/* Drive the line; an unconnected line (set == NULL) goes nowhere. Machine lock held. */
static inline void irq_set(const struct irq_line *line, int level)
{
    if (line->set)
        line->set(line->opaque, line->n, level);
}

#endif
