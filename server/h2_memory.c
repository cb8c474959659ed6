/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of 2 MiB, at multiples of that, have 64 slots; the first holds the chunk's head. Another
 * slot is a slab, with a head and then objects of one size class; or it has the two blocks of a
 * session on pages of their own, which go back to the system while they are empty. An object that
 * is larger than any class is a slab by itself, from the C library. So the head of what is given
 * back is at the multiple of the slot size before it.
 */
#include "server/h2_memory.h"

#include <assert.h>
#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PAGE_BYTES = 4096,
    SLOT_BYTES = 32 << 10,
    CHUNK_SLOTS = 64,
    CHUNK_BYTES = CHUNK_SLOTS * SLOT_BYTES,
    /* Of a session's slot. nghttp2 takes the first block for a frame of 16 KiB with its head, the
     * second for a table of 256 streams. */
    FRAME_BYTES_MIN = 16 << 10,
    FRAME_BYTES = 5 * PAGE_BYTES,
    TABLE_BYTES = PAGE_BYTES,
    /* Size classes: every 16 bytes up to 256, then four for each doubling. */
    STEP_BYTES = 16,
    STEPS = 16,
    STEPS_BYTES = STEPS * STEP_BYTES,
    DOUBLINGS = 5,
    CLASSES = STEPS + 4 * DOUBLINGS,
    OBJECT_BYTES_MAX = STEPS_BYTES << DOUBLINGS,
    SPARE_SLABS = 1, /* empty ones that a class keeps */
};

/* In a list of those with room. */
struct node {
    struct node *next;
    struct node *previous;
};

struct chunk {
    struct node node;
    uint64_t free; /* a bit for each slot */
};
#define ALL_FREE (~(uint64_t)1)

struct object {
    struct object *next;
};

struct slab {
    struct node node;
    struct object *free; /* used before */
    unsigned size_class; /* CLASSES: none */
    unsigned live;
    size_t size;  /* of an object */
    size_t fresh; /* where those begin that were never used */
};
#define SLAB_HEAD_BYTES ((sizeof(struct slab) + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES)

struct h2_memory {
    struct node *chunks;
    struct node *slabs[CLASSES];
    unsigned empty[CLASSES]; /* of these */
};

static void push(struct node **list, struct node *node)
{
    *node = (struct node){.next = *list};
    if (*list != NULL) {
        (*list)->previous = node;
    }
    *list = node;
}

static void take_out(struct node **list, struct node *node)
{
    *(node->previous != NULL ? &node->previous->next : list) = node->next;
    if (node->next != NULL) {
        node->next->previous = node->previous;
    }
}

/* ---- chunks and slots ---- */

struct h2_memory *h2_memory_create(void)
{
    return calloc(1, sizeof(struct h2_memory));
}

static struct chunk *add_chunk(struct h2_memory *memory)
{
    char *base = mmap(NULL, 2 * CHUNK_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    size_t before = -(uintptr_t)base % CHUNK_BYTES;
    struct chunk *chunk = (struct chunk *)(base + before);
    if (before > 0) {
        munmap(base, before);
    }
    munmap(base + before + CHUNK_BYTES, CHUNK_BYTES - before);
    (void)madvise(chunk, CHUNK_BYTES, MADV_NOHUGEPAGE); /* one would bring in all of it */
    chunk->free = ALL_FREE;
    push(&memory->chunks, &chunk->node);
    return chunk;
}

static void *take_slot(struct h2_memory *memory)
{
    struct chunk *chunk =
        memory->chunks != NULL ? (struct chunk *)memory->chunks : add_chunk(memory);
    if (chunk == NULL) {
        return NULL;
    }
    unsigned slot = (unsigned)__builtin_ctzll(chunk->free);
    chunk->free &= chunk->free - 1;
    if (chunk->free == 0) {
        take_out(&memory->chunks, &chunk->node);
    }
    return (char *)chunk + (size_t)slot * SLOT_BYTES;
}

static void *start_of(void *address, size_t alignment)
{
    return (char *)address - (uintptr_t)address % alignment;
}

/* The last chunk stays. */
static void give_slot(struct h2_memory *memory, void *address)
{
    struct chunk *chunk = start_of(address, CHUNK_BYTES);
    ASAN_UNPOISON_MEMORY_REGION(address, SLOT_BYTES);
    (void)madvise(address, SLOT_BYTES, MADV_DONTNEED);
    if (chunk->free == 0) {
        push(&memory->chunks, &chunk->node);
    }
    chunk->free |= (uint64_t)1 << ((size_t)((char *)address - (char *)chunk) / SLOT_BYTES);
    if (chunk->free == ALL_FREE && memory->chunks->next != NULL) {
        take_out(&memory->chunks, &chunk->node);
        munmap(chunk, CHUNK_BYTES);
    }
}

/* ---- slabs and objects ---- */

static unsigned class_of(size_t bytes)
{
    if (bytes <= STEPS_BYTES) {
        return bytes == 0 ? 0 : (unsigned)(bytes - 1) / STEP_BYTES;
    }
    unsigned log2 = 63 - (unsigned)__builtin_clzll(bytes - 1);
    unsigned quarter = (unsigned)((bytes - 1) >> (log2 - 2)) & 3;
    return STEPS + 4 * (log2 - 8) + quarter;
}

static size_t size_of(unsigned size_class)
{
    if (size_class < STEPS) {
        return (size_class + 1) * (size_t)STEP_BYTES;
    }
    unsigned above = size_class - STEPS;
    return (size_t)(5 + above % 4) << (6 + above / 4);
}

static struct slab *add_slab(struct h2_memory *memory, unsigned size_class)
{
    struct slab *slab = take_slot(memory);
    if (slab == NULL) {
        return NULL;
    }
    *slab = (struct slab){
        .size_class = size_class, .size = size_of(size_class), .fresh = SLAB_HEAD_BYTES};
    ASAN_POISON_MEMORY_REGION((char *)slab + SLAB_HEAD_BYTES, SLOT_BYTES - SLAB_HEAD_BYTES);
    push(&memory->slabs[size_class], &slab->node);
    memory->empty[size_class]++;
    return slab;
}

static bool is_full(const struct slab *slab)
{
    return slab->free == NULL && slab->fresh + slab->size > SLOT_BYTES;
}

static void *take_large(size_t bytes)
{
    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    size_t all = (SLAB_HEAD_BYTES + bytes + SLOT_BYTES - 1) / SLOT_BYTES * SLOT_BYTES;
    struct slab *slab = aligned_alloc(SLOT_BYTES, all);
    if (slab == NULL) {
        return NULL;
    }
    *slab = (struct slab){.size_class = CLASSES, .size = all - SLAB_HEAD_BYTES};
    return (char *)slab + SLAB_HEAD_BYTES;
}

/* The slab of a class has just become full. */
static __attribute__((noinline)) void *take_last(struct h2_memory *memory, struct slab *slab,
                                                 void *object)
{
    take_out(&memory->slabs[slab->size_class], &slab->node);
    return object;
}

/* Rare cases are calls at the end, so that the others save no registers. */
static void *take_from(struct h2_memory *memory, struct slab *slab, size_t bytes)
{
    struct object *object = slab->free;
    if (object == NULL) {
        object = (struct object *)((char *)slab + slab->fresh);
        slab->fresh += slab->size;
    }
    ASAN_UNPOISON_MEMORY_REGION(object, bytes);
    if (slab->free != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(object, sizeof *object);
        slab->free = object->next;
    }
    memory->empty[slab->size_class] -= slab->live++ == 0;
    return is_full(slab) ? take_last(memory, slab, object) : object;
}

static __attribute__((noinline)) void *take_rare(struct h2_memory *memory, size_t bytes)
{
    if (bytes > OBJECT_BYTES_MAX) {
        return take_large(bytes);
    }
    struct slab *slab = add_slab(memory, class_of(bytes));
    return slab != NULL ? take_from(memory, slab, bytes) : NULL;
}

static void *take(struct h2_memory *memory, size_t bytes)
{
    struct node *slab = bytes <= OBJECT_BYTES_MAX ? memory->slabs[class_of(bytes)] : NULL;
    return slab != NULL ? take_from(memory, (struct slab *)slab, bytes) : take_rare(memory, bytes);
}

static void drop_slab(struct h2_memory *memory, struct slab *slab)
{
    take_out(&memory->slabs[slab->size_class], &slab->node);
    give_slot(memory, slab);
}

static void give(struct h2_memory *memory, void *address)
{
    struct slab *slab = start_of(address, SLOT_BYTES);
    struct object *object = address;
    if (slab->size_class == CLASSES) {
        free(slab);
        return;
    }
    assert(slab->live > 0);
    if (is_full(slab)) {
        push(&memory->slabs[slab->size_class], &slab->node);
    }
    ASAN_UNPOISON_MEMORY_REGION(object, sizeof *object);
    object->next = slab->free;
    slab->free = object;
    ASAN_POISON_MEMORY_REGION(object, slab->size);
    if (--slab->live > 0) {
        return;
    }
    slab->free = NULL; /* from the start again, which touches fewer pages */
    slab->fresh = SLAB_HEAD_BYTES;
    if (memory->empty[slab->size_class] == SPARE_SLABS) {
        drop_slab(memory, slab);
    } else {
        memory->empty[slab->size_class]++;
    }
}

void *h2_memory_take(struct h2_memory *memory, size_t bytes)
{
    return memory != NULL ? take(memory, bytes) : malloc(bytes);
}

void h2_memory_give(struct h2_memory *memory, void *object)
{
    if (memory == NULL || object == NULL) {
        free(object);
    } else {
        give(memory, object);
    }
}

void h2_memory_trim(struct h2_memory *memory)
{
    for (unsigned i = 0; i < CLASSES; i++) {
        struct node *next;
        for (struct node *node = memory->slabs[i]; node != NULL; node = next) {
            next = node->next;
            if (((struct slab *)node)->live == 0) {
                drop_slab(memory, (struct slab *)node);
            }
        }
        memory->empty[i] = 0;
    }
}

void h2_memory_free(struct h2_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    h2_memory_trim(memory);
    if (memory->chunks != NULL) {
        assert(((struct chunk *)memory->chunks)->free == ALL_FREE && memory->chunks->next == NULL);
        munmap(memory->chunks, CHUNK_BYTES);
    }
    free(memory);
}

/* ---- sessions ---- */

void h2_room_open(struct h2_room *room, struct h2_memory *memory)
{
    *room = (struct h2_room){.memory = memory};
    room->pages = memory != NULL ? take_slot(memory) : NULL;
}

void h2_room_close(struct h2_room *room)
{
    assert(!room->has_frame && !room->has_table);
    if (room->pages != NULL) {
        give_slot(room->memory, room->pages);
    }
    *room = (struct h2_room){0};
}

static char *table_of(const struct h2_room *room)
{
    return room->pages + FRAME_BYTES;
}

static void *room_malloc(size_t bytes, void *context)
{
    struct h2_room *room = context;
    if (bytes < TABLE_BYTES) {
        return h2_memory_take(room->memory, bytes);
    }
    bool is_frame = bytes >= FRAME_BYTES_MIN && bytes <= FRAME_BYTES;
    if (room->pages != NULL && !room->has_frame && is_frame) {
        room->has_frame = true;
        return room->pages;
    }
    if (room->pages != NULL && !room->has_table && bytes == TABLE_BYTES) {
        room->has_table = true;
        return table_of(room);
    }
    return h2_memory_take(room->memory, bytes);
}

static void room_free(void *object, void *context)
{
    struct h2_room *room = context;
    if (object == NULL) {
        return;
    }
    if (object == room->pages) {
        room->has_frame = false;
    } else if (room->pages != NULL && object == table_of(room)) {
        room->has_table = false;
    } else {
        h2_memory_give(room->memory, object);
    }
}

static void *room_calloc(size_t count, size_t bytes, void *context)
{
    size_t all;
    void *object = __builtin_mul_overflow(count, bytes, &all) ? NULL : room_malloc(all, context);
    if (object != NULL) {
        memset(object, 0, all);
    }
    return object;
}

static size_t capacity_of(const struct h2_room *room, void *object)
{
    if (room->pages != NULL && object == room->pages) {
        return FRAME_BYTES;
    }
    if (room->pages != NULL && object == table_of(room)) {
        return TABLE_BYTES;
    }
    return ((struct slab *)start_of(object, SLOT_BYTES))->size;
}

static void *room_realloc(void *object, size_t bytes, void *context)
{
    struct h2_room *room = context;
    if (room->memory == NULL) {
        return realloc(object, bytes);
    }
    size_t capacity = object != NULL ? capacity_of(room, object) : 0;
    if (object != NULL && bytes <= capacity) {
        ASAN_UNPOISON_MEMORY_REGION(object, bytes);
        return object;
    }
    void *copy = room_malloc(bytes, room);
    if (copy != NULL && object != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(object, capacity);
        memcpy(copy, object, capacity);
        room_free(object, room);
    }
    return copy;
}

nghttp2_mem h2_room_functions(struct h2_room *room)
{
    return (nghttp2_mem){room, room_malloc, room_free, room_calloc, room_realloc};
}

static bool is_zero(const char *bytes, size_t count)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

void h2_room_rest(struct h2_room *room)
{
    if (room->pages == NULL || !room->has_frame) {
        return;
    }
    bool drops_table = !room->has_table || is_zero(table_of(room), TABLE_BYTES);
    (void)madvise(room->pages, FRAME_BYTES + (drops_table ? TABLE_BYTES : 0), MADV_DONTNEED);
}
