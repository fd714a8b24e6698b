/* Regions and their tree. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "memory/internal.h"

static struct mem_region *region_new(enum mem_kind kind, const char *name, uint64_t size)
{
    struct mem_region *r = calloc(1, sizeof(*r));
    assert(r && size);
    r->kind = kind;
    r->name = strdup(name);
    r->size = size;
    r->enabled = true;
    assert(r->name);
    return r;
}

struct mem_region *mem_container_new(const char *name, uint64_t size)
{
    return region_new(MEM_CONTAINER, name, size);
}

struct mem_region *mem_io_new(const char *name, uint64_t size, const struct mem_ops *ops, void *opaque)
{
    struct mem_region *r = region_new(MEM_IO, name, size);
    struct mem_access *valid = &r->ops.valid, *impl = &r->ops.impl;
    r->ops = *ops;
    r->opaque = opaque;
    if (!impl->min && !impl->max)
        impl->unaligned = valid->unaligned;
    valid->min = valid->min ? valid->min : 1;
    valid->max = valid->max ? valid->max : 8;
    impl->min = impl->min ? impl->min : valid->min;
    impl->max = impl->max ? impl->max : valid->max;
    assert(is_pow2(valid->min) && is_pow2(valid->max) && is_pow2(impl->min) && is_pow2(impl->max));
    assert(valid->min <= valid->max && impl->min <= impl->max && valid->max <= 8 && impl->max <= 8);
    return r;
}

static struct mem_region *region_backed_new(enum mem_kind kind, struct memory *mem, const char *name,
                                            uint64_t size, struct error *err)
{
    uint64_t ram_off;
    if (memory_alloc(mem, name, size, &ram_off, err))
        return NULL;
    struct mem_region *r = region_new(kind, name, size);
    r->mem = mem;
    r->ram_off = ram_off;
    r->host = memory_host(mem, ram_off);
    return r;
}

struct mem_region *mem_ram_new(struct memory *mem, const char *name, uint64_t size, struct error *err)
{
    return region_backed_new(MEM_RAM, mem, name, size, err);
}

struct mem_region *mem_rom_new(struct memory *mem, const char *name, uint64_t size, struct error *err)
{
    return region_backed_new(MEM_ROM, mem, name, size, err);
}

struct mem_region *mem_alias_new(const char *name, struct mem_region *target, uint64_t offset, uint64_t size)
{
    struct mem_region *r = region_new(MEM_ALIAS, name, size);
    r->target = target;
    r->offset = offset;
    r->next_alias = target->aliases;
    target->aliases = r;
    return r;
}

static void region_unlink_alias(struct mem_region *alias)
{
    struct mem_region **link = &alias->target->aliases;
    while (*link != alias)
        link = &(*link)->next_alias;
    *link = alias->next_alias;
    alias->target = NULL;
}

void mem_region_free(struct mem_region *r)
{
    if (!r)
        return;
    assert(!r->spaces);
    mem_region_remove(r);
    while (r->children)
        mem_region_remove(r->children);
    while (r->aliases) {
        struct mem_region *alias = r->aliases;
        region_unlink_alias(alias);
        mem_region_changed(alias);
    }
    if (r->target)
        region_unlink_alias(r);
    free(r->name);
    free(r);
}

static void region_changed_depth(struct mem_region *r, unsigned depth)
{
    if (!r || depth > MEM_TREE_DEPTH)
        return;
    for (struct mem_space *s = r->spaces; s; s = s->next)
        mem_space_touch(s);
    for (struct mem_region *alias = r->aliases; alias; alias = alias->next_alias)
        region_changed_depth(alias, depth + 1);
    region_changed_depth(r->parent, depth + 1);
}

void mem_region_changed(struct mem_region *r)
{
    region_changed_depth(r, 0);
}

void mem_region_set_readonly(struct mem_region *r, bool readonly)
{
    if (r->readonly == readonly)
        return;
    r->readonly = readonly;
    mem_region_changed(r);
}

void mem_region_set_enabled(struct mem_region *r, bool enabled)
{
    if (r->enabled == enabled)
        return;
    r->enabled = enabled;
    mem_region_changed(r);
}

uint8_t *mem_region_host(struct mem_region *r)
{
    return r->host;
}

uint64_t mem_region_ram_off(struct mem_region *r)
{
    return r->ram_off;
}

uint64_t mem_region_size(struct mem_region *r)
{
    return r->size;
}

void mem_region_add(struct mem_region *parent, uint64_t addr, struct mem_region *child, int priority)
{
    struct mem_region **link = &parent->children;
    assert(parent->kind == MEM_CONTAINER && !child->parent);
    while (*link && (*link)->priority > priority)
        link = &(*link)->next;
    child->parent = parent;
    child->addr = addr;
    child->priority = priority;
    child->next = *link;
    *link = child;
    mem_region_changed(child);
}

void mem_region_remove(struct mem_region *child)
{
    struct mem_region *parent = child->parent;
    if (!parent)
        return;
    struct mem_region **link = &parent->children;
    while (*link != child)
        link = &(*link)->next;
    *link = child->next;
    child->next = NULL;
    child->parent = NULL;
    mem_region_changed(parent);
}

void mem_region_move(struct mem_region *child, uint64_t addr)
{
    if (child->addr == addr)
        return;
    child->addr = addr;
    mem_region_changed(child);
}
