/* The index over command rows: copies of all rows in the order of their names, and a hash table
 * from what a client may type to a row.
 *
 * A lookup costs one probe: a name of up to 16 bytes is read as two words, lower-cased in
 * registers, hashed by two multiplications, and compared with the two words of a slot. Slots are 32
 * bytes, so that a hit touches one cache line here and then the row's first one. Subcommands stand
 * in the same table under their container's number. Longer names (there are few) are compared in
 * full beside that. */
#include "server/command.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <stdlib.h>

#define WORD_BYTES      8
#define NAME_BYTES_FAST (2 * WORD_BYTES) /* names up to here are their two words */
#define ROW_ALIGN       64
#define LOAD_FACTOR     4 /* slots per name, at least: nearly every name sits in its first slot */

_Static_assert(sizeof(struct command) % ROW_ALIGN == 0, "a row starts a cache line");
_Static_assert(offsetof(struct command, keys) + offsetof(struct key_spec, limit_or_step) <
                   ROW_ALIGN,
               "dispatch reads one cache line of a row");

/* A name as it is hashed: the first 8 bytes (zero-padded) and, of names longer than that, the next
 * up to 8; of names over 16 bytes the last 8. */
struct name_words {
    uint64_t low;
    uint64_t high;
};

struct slot {
    struct name_words words;
    const struct command *row; /* NULL: free */
    uint32_t name_len;
    uint16_t container; /* id + 1 of the container whose subcommand this is; 0: a first word */
    uint16_t name_index;
};
_Static_assert(sizeof(struct slot) == 32, "two slots per cache line");

/* A name that a client may use. */
struct name {
    char *text; /* owned, lower case */
    uint16_t id;
    uint16_t container; /* as in struct slot */
};

struct command_table {
    struct command *rows; /* in rows_memory, ROW_ALIGN aligned; count of them, sorted by name */
    void *rows_memory;    /* owned */
    int count;
    struct name *names; /* owned; name_count of them */
    size_t name_count;
    struct slot *slots; /* owned; slot_mask + 1 of them */
    uint64_t slot_mask;
    const struct command **tops; /* owned; top_count rows */
    int top_count;
};

/* ---- Names as words. */

/* Lower-cases eight ASCII bytes at once: a byte is a capital if adding 0x3f carries into its top
 * bit ('A' and above) and adding 0x25 does not ('[' and above). */
static inline uint64_t word_lower(uint64_t word)
{
    const uint64_t low_bits = 0x7f7f7f7f7f7f7f7f;
    uint64_t bits = word & low_bits;
    uint64_t from_a = bits + 0x3f3f3f3f3f3f3f3f;
    uint64_t above_z = bits + 0x2525252525252525;
    uint64_t capital = from_a & ~above_z & ~word & ~low_bits;
    return word | (capital >> 2);
}

static inline uint64_t word_load(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

/* Up to eight bytes as a word, zero-padded, never reading beyond them. */
static inline uint64_t word_load_short(const uint8_t *data, size_t len)
{
    if (len >= 4) {
        uint32_t head, tail;
        memcpy(&head, data, sizeof head);
        memcpy(&tail, data + len - 4, sizeof tail);
        return head | (uint64_t)tail << (8 * (len - 4));
    }
    if (len == 0)
        return 0;
    return data[0] | (uint64_t)data[len / 2] << (8 * (len / 2)) |
           (uint64_t)data[len - 1] << (8 * (len - 1));
}

static inline struct name_words name_words(struct bytes name)
{
    struct name_words words;
    if (name.len <= WORD_BYTES) {
        words.low = word_lower(word_load_short(name.data, name.len));
        words.high = 0;
        return words;
    }
    words.low = word_lower(word_load(name.data));
    uint64_t tail = word_load(name.data + name.len - WORD_BYTES);
    if (name.len < NAME_BYTES_FAST)
        tail >>= 8 * (NAME_BYTES_FAST - name.len);
    words.high = word_lower(tail);
    return words;
}

static inline uint64_t name_hash(struct name_words words, uint64_t container)
{
    uint64_t mixed = words.low ^ ((words.high + container) * 0xd6e8feb86659fd93);
    mixed ^= mixed >> 29;
    mixed *= 0x9e3779b97f4a7c15;
    return mixed >> 32;
}

/* ---- Lookup. */

static const struct command *find(const struct command_table *table, struct bytes name,
                                  uint16_t container)
{
    struct name_words words = name_words(name);
    for (uint64_t i = name_hash(words, container);; i++) {
        const struct slot *slot = &table->slots[i & table->slot_mask];
        if (slot->row == NULL)
            return NULL;
        if (slot->words.low == words.low && slot->words.high == words.high &&
            slot->name_len == name.len && slot->container == container &&
            (name.len <= NAME_BYTES_FAST ||
             bytes_equal_nocase(name, table->names[slot->name_index].text)))
            return slot->row;
    }
}

const struct command *command_find(const struct command_table *table, const struct bytes *argv,
                                   int argc, const struct command **container_out)
{
    const struct command *row = find(table, argv[0], 0);
    bool is_container = row != NULL && row->subcommand_count > 0;
    if (container_out != NULL)
        *container_out = is_container ? row : NULL;
    if (!is_container || argc == 1)
        return row;
    return find(table, argv[1], (uint16_t)(row->id + 1));
}

const struct command *command_find_name(const struct command_table *table, struct bytes name)
{
    const uint8_t *bar = name.len == 0 ? NULL : memchr(name.data, '|', name.len);
    if (bar == NULL)
        return find(table, name, 0);
    size_t head_len = (size_t)(bar - name.data);
    const struct command *container = find(table, bytes_make(name.data, head_len), 0);
    if (container == NULL || container->subcommand_count == 0)
        return NULL;
    struct bytes rest = bytes_make(bar + 1, name.len - head_len - 1);
    return find(table, rest, (uint16_t)(container->id + 1));
}

/* ---- Building the index. */

/* Byte order, but '|' first: a container is followed by its subcommands and nothing else. */
static int compare_names(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    int left = *a == '|' ? 1 : (uint8_t)*a;
    int right = *b == '|' ? 1 : (uint8_t)*b;
    return left - right;
}

/* The same for a text in any case and a row's name. */
static int compare_with_row(struct bytes text, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < text.len && i < len; i++) {
        uint8_t c = text.data[i];
        int left = c == '|' ? 1 : c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
        int right = name[i] == '|' ? 1 : (uint8_t)name[i];
        if (left != right)
            return left - right;
    }
    return (text.len > len) - (text.len < len);
}

const struct command *command_find_row(const struct command_table *table, struct bytes name)
{
    int from = 0;
    int to = table->count;
    while (from < to) {
        int middle = from + (to - from) / 2;
        int order = compare_with_row(name, table->rows[middle].name);
        if (order == 0)
            return &table->rows[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

static int compare_rows(const void *a, const void *b)
{
    const struct command *left = a, *right = b;
    return compare_names(left->name, right->name);
}

static void copy_rows(struct command_table *table, const struct command *const *tables,
                      size_t table_count)
{
    for (size_t t = 0; t < table_count; t++)
        for (const struct command *row = tables[t]; row->name != NULL; row++)
            table->count++;
    CHECK(table->count < UINT16_MAX);

    size_t bytes = (size_t)table->count * sizeof(struct command);
    table->rows_memory = mem_alloc(bytes + ROW_ALIGN);
    uintptr_t address = (uintptr_t)table->rows_memory + ROW_ALIGN - 1;
    table->rows = (struct command *)(address - address % ROW_ALIGN);

    size_t at = 0;
    for (size_t t = 0; t < table_count; t++)
        for (const struct command *row = tables[t]; row->name != NULL; row++)
            table->rows[at++] = *row;
    qsort(table->rows, at, sizeof(struct command), compare_rows);
}

/* Fills in what a row's source leaves out. */
static void derive_row(struct command *row, uint16_t id)
{
    row->id = id;
    while (row->key_spec_count < KEY_SPECS_MAX &&
           row->keys[row->key_spec_count].begin != KEY_BEGIN_NONE)
        row->key_spec_count++;
    const struct key_spec *spec = &row->keys[0];
    uint32_t not_simple = KEY_NOT_KEY | KEY_INCOMPLETE;
    if (row->keys_fn == NULL && row->key_spec_count == 1 && spec->begin == KEY_BEGIN_INDEX &&
        spec->find == KEY_FIND_RANGE && spec->last_or_keynum == 0 && spec->index <= UINT8_MAX &&
        (spec->flags & not_simple) == 0)
        row->single_key = (uint8_t)spec->index;
    if (command_key_range(row).movable)
        row->flags |= CMD_MOVABLE_KEYS;
}

static void derive_rows(struct command_table *table)
{
    struct command *container = NULL;
    for (int i = 0; i < table->count; i++) {
        struct command *row = &table->rows[i];
        CHECK(i == 0 || strcmp(row->name, row[-1].name) != 0); /* a name occurs once */
        derive_row(row, (uint16_t)i);
        const char *bar = strchr(row->name, '|');
        if (bar == NULL) {
            container = row;
            continue;
        }
        size_t head_len = (size_t)(bar - row->name);
        CHECK(container != NULL && strlen(container->name) == head_len &&
              memcmp(container->name, row->name, head_len) == 0); /* its container has a row */
        CHECK(container->subcommand_count < UINT8_MAX);
        container->subcommand_count++;
        row->is_subcommand = true;
    }
}

static void add_names(struct command_table *table)
{
    table->names = mem_calloc((size_t)table->count, sizeof(struct name));
    uint16_t container = 0;
    for (int i = 0; i < table->count; i++) {
        const struct command *row = &table->rows[i];
        const char *bar = strchr(row->name, '|');
        if (bar == NULL)
            container = (uint16_t)(i + 1);
        table->names[table->name_count++] = (struct name){
            .text = mem_strdup(bar == NULL ? row->name : bar + 1),
            .id = (uint16_t)i,
            .container = bar == NULL ? 0 : container,
        };
    }
}

static void index_name(struct command_table *table, size_t name_index)
{
    const struct name *name = &table->names[name_index];
    struct bytes text = bytes_text(name->text);
    struct name_words words = name_words(text);
    uint64_t at = name_hash(words, name->container);
    while (table->slots[at & table->slot_mask].row != NULL)
        at++;
    table->slots[at & table->slot_mask] = (struct slot){
        .words = words,
        .row = &table->rows[name->id],
        .name_len = (uint32_t)text.len,
        .container = name->container,
        .name_index = (uint16_t)name_index,
    };
}

/* Builds the slots and the list of first words anew from the names. */
static void rebuild_index(struct command_table *table)
{
    size_t slot_count = 16;
    while (slot_count < LOAD_FACTOR * (table->name_count + 1))
        slot_count *= 2;
    mem_free(table->slots);
    table->slots = mem_calloc(slot_count, sizeof(struct slot));
    table->slot_mask = slot_count - 1;
    mem_free(table->tops);
    table->tops = mem_calloc(table->name_count + 1, sizeof *table->tops);
    table->top_count = 0;
    for (size_t i = 0; i < table->name_count; i++) {
        index_name(table, i);
        if (table->names[i].container == 0)
            table->tops[table->top_count++] = &table->rows[table->names[i].id];
    }
}

struct command_table *command_table_create_from(const struct command *const *tables,
                                                size_t table_count)
{
    struct command_table *table = mem_calloc(1, sizeof *table);
    copy_rows(table, tables, table_count);
    derive_rows(table);
    add_names(table);
    rebuild_index(table);
    return table;
}

void command_table_destroy(struct command_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->name_count; i++)
        mem_free(table->names[i].text);
    mem_free(table->names);
    mem_free(table->slots);
    mem_free(table->tops);
    mem_free(table->rows_memory);
    mem_free(table);
}

int command_count(const struct command_table *table)
{
    return table->count;
}

const struct command *command_at(const struct command_table *table, int id)
{
    CHECK(id >= 0 && id < table->count);
    return &table->rows[id];
}

int command_top_count(const struct command_table *table)
{
    return table->top_count;
}

const struct command *command_top_at(const struct command_table *table, int index)
{
    CHECK(index >= 0 && index < table->top_count);
    return table->tops[index];
}

uint32_t command_acl_categories(const struct command *command)
{
    static const struct {
        uint32_t flag;
        uint32_t categories;
    } implied[] = {
        {CMD_WRITE, ACL_WRITE}, {CMD_ADMIN, ACL_ADMIN | ACL_DANGEROUS}, {CMD_PUBSUB, ACL_PUBSUB},
        {CMD_FAST, ACL_FAST},   {CMD_BLOCKING, ACL_BLOCKING},
    };
    uint32_t categories = command->acl;
    for (size_t i = 0; i < sizeof implied / sizeof implied[0]; i++)
        if (command->flags & implied[i].flag)
            categories |= implied[i].categories;
    /* EVAL_RO and its like read, but what they read is not theirs to say. */
    if ((command->flags & CMD_READONLY) && !(categories & ACL_SCRIPTING))
        categories |= ACL_READ;
    if (!(categories & ACL_FAST))
        categories |= ACL_SLOW;
    return categories;
}

/* ---- rename-command. */

static char *lower_dup(struct bytes text)
{
    char *copy = mem_alloc(text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        copy[i] = (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
    }
    copy[text.len] = 0;
    return copy;
}

enum status command_rename(struct command_table *table, struct bytes name, struct bytes new_name)
{
    const struct command *row = find(table, name, 0);
    if (row == NULL)
        return ST_NOT_FOUND;
    if (new_name.len > 0 && find(table, new_name, 0) != NULL)
        return ST_EXISTS;

    size_t at = 0;
    while (table->names[at].container != 0 || table->names[at].id != row->id)
        at++;
    mem_free(table->names[at].text);
    if (new_name.len > 0) {
        table->names[at].text = lower_dup(new_name);
    } else {
        table->name_count--;
        memmove(&table->names[at], &table->names[at + 1],
                (table->name_count - at) * sizeof(struct name));
    }
    rebuild_index(table);
    return ST_OK;
}
