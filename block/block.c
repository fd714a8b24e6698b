/* The block layer's front: one worker thread per image works the queue off in
 * order, and an eventfd tells the main loop of what is done. Working in order
 * makes a flush cover all writes before it and completions come as submitted.
 *
 * The worker's mutex guards the two lists; it is never held around a transfer
 * or a callback. A request belongs to the worker from block_submit() until it
 * is on the done list. */
#include "block/block.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/loop.h"
#include "block/internal.h"

#define REQ_PENDING 1 /* ret of a request that is to be carried out */

struct req_list {
    struct block_req *head, *tail;
};

struct block {
    char *name;
    struct loop *loop;
    struct raw raw;
    struct overlay *overlay; /* NULL: writes go to the image */
    bool read_only;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* queue or stop changed */
    pthread_cond_t finished; /* a request has moved to the done list */
    struct req_list queue, done;
    struct block_req *current; /* in the worker's hands */
    bool stop;
    int event_fd;
    unsigned watch;
};

static void list_add(struct req_list *list, struct block_req *req)
{
    req->next = NULL;
    if (list->head)
        list->tail->next = req;
    else
        list->head = req;
    list->tail = req;
}

static struct block_req *list_take(struct req_list *list)
{
    struct block_req *req = list->head;
    if (req)
        list->head = req->next;
    return req;
}

static int block_transfer(struct block *b, const struct block_req *req)
{
    switch (req->op) {
    case BLOCK_READ:
        return b->overlay ? overlay_read(b->overlay, req->offset, req->buf, req->len)
                          : raw_read(&b->raw, req->offset, req->buf, req->len);
    case BLOCK_WRITE:
        return b->overlay ? overlay_write(b->overlay, req->offset, req->buf, req->len)
                          : raw_write(&b->raw, req->offset, req->buf, req->len);
    case BLOCK_FLUSH:
        return b->overlay || b->read_only ? 0 : raw_flush(&b->raw);
    }
    return -EINVAL;
}

static void *block_worker(void *opaque)
{
    struct block *b = opaque;
    const uint64_t one = 1;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        while (!b->queue.head && !b->stop)
            pthread_cond_wait(&b->wake, &b->lock);
        struct block_req *req = b->current = list_take(&b->queue);
        if (!req)
            break;
        pthread_mutex_unlock(&b->lock);
        if (req->ret == REQ_PENDING)
            req->ret = block_transfer(b, req);
        pthread_mutex_lock(&b->lock);
        b->current = NULL;
        list_add(&b->done, req);
        pthread_cond_broadcast(&b->finished);
        while (write(b->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            continue;
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* Run the callback of the oldest finished request. */
static bool block_complete_one(struct block *b)
{
    pthread_mutex_lock(&b->lock);
    struct block_req *req = list_take(&b->done);
    pthread_mutex_unlock(&b->lock);
    if (req && req->done)
        req->done(req->opaque, req->ret);
    return req != NULL;
}

/* Requests that finish while the callbacks run come with an event of their own:
 * a fast disk cannot keep the main thread here. */
static void block_finished(void *opaque, unsigned events)
{
    struct block *b = opaque;
    uint64_t count;
    (void)events;
    if (read(b->event_fd, &count, sizeof(count)) < 0)
        return;
    while (count-- && block_complete_one(b))
        continue;
}

/* The worker takes no signals: they are the main thread's. */
static int block_start_worker(struct block *b)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int ret = pthread_create(&b->thread, NULL, block_worker, b);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -ret;
}

static void block_release(struct block *b)
{
    overlay_free(b->overlay);
    raw_close(&b->raw);
    if (b->event_fd >= 0)
        close(b->event_fd);
    pthread_cond_destroy(&b->wake);
    pthread_cond_destroy(&b->finished);
    pthread_mutex_destroy(&b->lock);
    free(b->name);
    free(b);
}

/* Without a format given, an image that says it is of another format is not taken for raw. */
static int block_check_format(struct block *b, const struct block_options *opt, struct error *err)
{
    uint8_t magic[4];
    if (opt->format && strcmp(opt->format, "raw"))
        return error_set(err, -EINVAL, "%s: format '%s' is not supported, only raw", b->name, opt->format);
    int ret = raw_read(&b->raw, 0, magic, sizeof(magic));
    if (ret)
        return error_set(err, ret, "%s: cannot be read: %s", b->name, strerror(-ret));
    if (!opt->format && !memcmp(magic, "QFI\xfb", sizeof(magic)))
        return error_set(err, -EINVAL, "%s: is a qcow2 image; only raw is supported (or force format=raw)",
                         b->name);
    return 0;
}

static int block_setup(struct block *b, const struct block_options *opt, struct error *err)
{
    int ret = raw_open(&b->raw, opt->file, !opt->read_only && !opt->snapshot, err);
    if (ret)
        return ret;
    ret = block_check_format(b, opt, err);
    if (ret)
        return ret;
    if (opt->snapshot) {
        b->overlay = overlay_new(&b->raw, err);
        if (!b->overlay)
            return -EIO;
    }
    b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->event_fd < 0)
        return error_set(err, -errno, "%s: eventfd: %s", b->name, strerror(errno));
    ret = block_start_worker(b);
    if (ret)
        return error_set(err, ret, "%s: cannot start a thread: %s", b->name, strerror(-ret));
    if (b->loop)
        b->watch = loop_watch(b->loop, b->event_fd, LOOP_READ, block_finished, b);
    return 0;
}

struct block *block_open(const struct block_options *opt, struct loop *loop, struct error *err)
{
    struct block *b = calloc(1, sizeof(*b));
    assert(b);
    b->name = strdup(opt->file);
    b->loop = loop;
    b->raw.fd = -1;
    b->event_fd = -1;
    b->read_only = opt->read_only;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->wake, NULL);
    pthread_cond_init(&b->finished, NULL);
    assert(b->name);
    if (block_setup(b, opt, err)) {
        block_release(b);
        return NULL;
    }
    return b;
}

void block_close(struct block *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->stop = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    if (b->loop)
        loop_unwatch(b->loop, b->watch);
    if (!b->read_only && !b->overlay)
        raw_flush(&b->raw);
    block_release(b);
}

uint64_t block_size(struct block *b)
{
    return b->raw.size;
}

bool block_read_only(struct block *b)
{
    return b->read_only;
}

const char *block_name(struct block *b)
{
    return b->name;
}

static int block_check_range(struct block *b, uint64_t offset, size_t len)
{
    return offset <= b->raw.size && len <= b->raw.size - offset ? 0 : -EIO;
}

void block_submit(struct block *b, struct block_req *req)
{
    req->ret = REQ_PENDING;
    if (req->op != BLOCK_FLUSH && block_check_range(b, req->offset, req->len))
        req->ret = -EIO;
    else if (req->op == BLOCK_WRITE && b->read_only)
        req->ret = -EROFS;
    pthread_mutex_lock(&b->lock);
    list_add(&b->queue, req);
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
}

static bool list_has(const struct req_list *list, const void *opaque)
{
    for (const struct block_req *req = list->head; req; req = req->next)
        if (req->opaque == opaque)
            return true;
    return false;
}

static void list_remove(struct req_list *list, const void *opaque)
{
    struct req_list kept = { 0 };
    for (struct block_req *req; (req = list_take(list));)
        if (req->opaque != opaque)
            list_add(&kept, req);
    *list = kept;
}

void block_cancel(struct block *b, void *opaque)
{
    pthread_mutex_lock(&b->lock);
    while ((b->current && b->current->opaque == opaque) || list_has(&b->queue, opaque))
        pthread_cond_wait(&b->finished, &b->lock);
    list_remove(&b->done, opaque);
    pthread_mutex_unlock(&b->lock);
}

/* Wait until the worker has nothing to do. */
static void block_wait_worker(struct block *b)
{
    pthread_mutex_lock(&b->lock);
    while (b->current || b->queue.head)
        pthread_cond_wait(&b->finished, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

void block_drain(struct block *b)
{
    do {
        block_wait_worker(b);
    } while (block_complete_one(b));
}

int block_pread(struct block *b, uint64_t offset, void *buf, size_t len)
{
    struct block_req req = { .op = BLOCK_READ, .offset = offset, .buf = buf, .len = len };
    int ret = block_check_range(b, offset, len);
    block_wait_worker(b);
    return ret ? ret : block_transfer(b, &req);
}
