/* SPDX-License-Identifier: Apache-2.0 */
/* Two passes over the lines: the first gives every label its slot, the second encodes. A line picks
 * the row of isa.def whose mnemonic and operands it has; no opcode is spelled here. */
#include "tests/support/asm.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/isa.h"

enum { LINE_BYTES = 200, NAME_BYTES = 48, OPERANDS = 3, RAW_FIELDS = 5 };

enum kind { NOTHING, REGISTER, NUMBER, MEMORY, NAME, ADDRESS };

struct operand {
    enum kind kind;
    uint8_t reg;
    int16_t off;
    bool is_signed; /* the number was written with + or - */
    uint64_t value;
    char name[NAME_BYTES];
};

struct line {
    char mnemonic[NAME_BYTES];
    struct operand operand[OPERANDS];
};

struct label {
    char name[NAME_BYTES];
    uint32_t slot;
};

struct state {
    struct t_asm *out;
    const struct vm_helper *const *helpers;
    uint32_t helper_count;
    struct label *labels;
    size_t label_count;
    bool encoding; /* second pass */
    int line;
};

static bool refuse(struct state *s, const char *what, const char *text)
{
    snprintf(s->out->error, sizeof s->out->error, "line %d: %s: %.80s", s->line, what, text);
    return false;
}

/* ---- operands */

static bool parse_number(const char *text, uint64_t *value)
{
    char *end;
    bool negative = text[0] == '-';
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    if (!isdigit((unsigned char)*digits))
        return false;
    errno = 0;
    uint64_t magnitude = strtoull(digits, &end, 0);
    *value = negative ? -magnitude : magnitude;
    return !errno && *end == '\0';
}

static bool parse_register(const char *text, uint8_t *reg)
{
    uint64_t value;
    if (text[0] != 'r' || !isdigit((unsigned char)text[1]) || !parse_number(text + 1, &value))
        return false;
    *reg = (uint8_t)value;
    return value <= 15;
}

/* [r1+8], [r1-8], [r1] */
static bool parse_memory(char *text, struct operand *o)
{
    size_t length = strlen(text);
    uint64_t off = 0;
    if (text[0] != '[' || text[length - 1] != ']')
        return false;
    text[length - 1] = '\0';
    char *sign = text + strcspn(text, "+-");
    if (*sign && !parse_number(sign, &off))
        return false;
    *sign = '\0';
    if ((int64_t)off < INT16_MIN || (int64_t)off > INT16_MAX)
        return false;
    o->kind = MEMORY;
    o->off = (int16_t)off;
    return parse_register(text + 1, &o->reg);
}

static bool parse_operand(char *text, struct operand *o)
{
    if (text[0] == '[')
        return parse_memory(text, o);
    if (parse_register(text, &o->reg)) {
        o->kind = REGISTER;
    } else if (parse_number(text, &o->value)) {
        o->kind = NUMBER;
        o->is_signed = text[0] == '+' || text[0] == '-';
    } else {
        o->kind = text[0] == '&' ? ADDRESS : NAME;
        const char *name = text + (text[0] == '&');
        if (!*name || strlen(name) >= NAME_BYTES)
            return false;
        memcpy(o->name, name, strlen(name) + 1);
    }
    return true;
}

static void strip(char *text)
{
    size_t start = strspn(text, " \t\r");
    size_t end = strlen(text);
    while (end > start && strchr(" \t\r", text[end - 1]))
        end--;
    memmove(text, text + start, end - start);
    text[end - start] = '\0';
}

static bool parse_line(struct state *s, char *text, struct line *line)
{
    *line = (struct line){0};
    size_t length = strcspn(text, " \t");
    if (length >= NAME_BYTES)
        return refuse(s, "name too long", text);
    memcpy(line->mnemonic, text, length);
    char *rest = text + length;
    strip(rest);
    for (int i = 0; *rest; i++) {
        char *comma = strchr(rest, ',');
        if (comma)
            *comma = '\0';
        strip(rest);
        if (i == OPERANDS || !parse_operand(rest, &line->operand[i]))
            return refuse(s, "bad operand", rest);
        rest = comma ? comma + 1 : rest + strlen(rest);
    }
    return true;
}

/* ---- rows */

static const struct label *find_label(const struct state *s, const char *name)
{
    for (size_t i = 0; i < s->label_count; i++)
        if (!strcmp(s->labels[i].name, name))
            return &s->labels[i];
    return NULL;
}

static const struct vm_helper *const *find_helper(const struct state *s, const char *name)
{
    for (uint32_t i = 0; i < s->helper_count; i++)
        if (!strcmp(s->helpers[i]->name, name))
            return &s->helpers[i];
    return NULL;
}

static bool shape(const struct line *l, enum kind a, enum kind b, enum kind c)
{
    return l->operand[0].kind == a && l->operand[1].kind == b && l->operand[2].kind == c;
}

static bool calls(const struct state *s, const struct vm_isa_row *row, const struct line *l)
{
    bool helper = shape(l, NUMBER, 0, 0) ||
                  (shape(l, NAME, 0, 0) && find_helper(s, l->operand[0].name) != NULL);
    if (row->source == VM_SOURCE_REG)
        return shape(l, REGISTER, 0, 0);
    return row->fields & F_SRC ? shape(l, NAME, 0, 0) && !helper : helper;
}

static bool fits(const struct state *s, const struct vm_isa_row *row, const struct line *l)
{
    enum kind source = row->source == VM_SOURCE_REG   ? REGISTER
                       : row->source == VM_SOURCE_IMM ? NUMBER
                                                      : NOTHING;
    switch ((enum vm_group)row->group) {
    case VM_GROUP_ALU:
    case VM_GROUP_END: return shape(l, REGISTER, source, 0);
    case VM_GROUP_LDDW: return shape(l, REGISTER, row->fields & F_SRC ? ADDRESS : NUMBER, 0);
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: return shape(l, REGISTER, MEMORY, 0);
    case VM_GROUP_ST:
    case VM_GROUP_STX:
    case VM_GROUP_ATOMIC: return shape(l, MEMORY, source, 0);
    case VM_GROUP_JMP:
        return shape(l, REGISTER, source, NAME) || shape(l, REGISTER, source, NUMBER);
    case VM_GROUP_JA: return shape(l, NAME, 0, 0) || shape(l, NUMBER, 0, 0);
    case VM_GROUP_CALL: return calls(s, row, l);
    case VM_GROUP_EXIT: return shape(l, 0, 0, 0);
    }
    return false;
}

static const struct vm_isa_row *find_row(const struct state *s, const struct line *l)
{
    for (int i = 0; i < VM_IX_COUNT; i++)
        if (!strcmp(vm_isa[i].mnemonic, l->mnemonic) && fits(s, &vm_isa[i], l))
            return &vm_isa[i];
    return NULL;
}

/* ---- encoding */

static bool emit(struct state *s, struct vm_insn insn)
{
    uint32_t at = s->out->count++;
    if (!s->encoding)
        return true;
    s->out->insns[at] = insn;
    return true;
}

/* Slots from the instruction after this one to where the operand leads. */
static bool distance(struct state *s, const struct operand *o, int64_t *out)
{
    *out = (int64_t)o->value;
    if (o->kind == NUMBER || !s->encoding)
        return true;
    const struct label *label = find_label(s, o->name);
    if (!label)
        return refuse(s, "no such label", o->name);
    *out = (int64_t)label->slot - (int64_t)s->out->count - 1;
    return true;
}

/* The immediate operand: what fits 32 bits, signed or unsigned. */
static bool immediate(struct state *s, const struct operand *o, int32_t *out)
{
    if ((int64_t)o->value < INT32_MIN || (int64_t)o->value > UINT32_MAX)
        return refuse(s, "immediate wider than 32 bits", "");
    *out = (int32_t)(uint32_t)o->value;
    return true;
}

static bool encode_jump(struct state *s, struct vm_insn insn, const struct vm_isa_row *row,
                        const struct line *l)
{
    int64_t d;
    bool unconditional = row->group == VM_GROUP_JA;
    if (!distance(s, unconditional ? &l->operand[0] : &l->operand[2], &d))
        return false;
    bool in_imm = unconditional && row->fields & F_IMM;
    if (!in_imm && (d < INT16_MIN || d > INT16_MAX))
        return refuse(s, "jump too far", l->mnemonic);
    if (in_imm)
        insn.imm = (int32_t)d;
    else
        insn.off = (int16_t)d;
    return emit(s, insn);
}

static bool encode_call(struct state *s, struct vm_insn insn, const struct vm_isa_row *row,
                        const struct line *l)
{
    int64_t d;
    if (row->source == VM_SOURCE_REG) {
        insn.dst = l->operand[0].reg & 15;
    } else if (row->fields & F_SRC) {
        if (!distance(s, &l->operand[0], &d))
            return false;
        insn.src = row->sub & 15;
        insn.imm = (int32_t)d;
    } else if (l->operand[0].kind == NUMBER) {
        insn.imm = (int32_t)l->operand[0].value;
    } else {
        insn.imm = (int32_t)(find_helper(s, l->operand[0].name) - s->helpers);
    }
    return emit(s, insn);
}

static bool encode_lddw(struct state *s, struct vm_insn insn, const struct vm_isa_row *row,
                        const struct line *l)
{
    uint64_t value = l->operand[1].value;
    insn.dst = l->operand[0].reg & 15;
    insn.src = row->sub & 15;
    if (row->fields & F_SRC) {
        int64_t d;
        if (!distance(s, &l->operand[1], &d))
            return false;
        value = (uint32_t)d;
    }
    insn.imm = (int32_t)(uint32_t)value;
    return emit(s, insn) && emit(s, (struct vm_insn){.imm = (int32_t)(uint32_t)(value >> 32)});
}

/* Registers, displacement and immediate by the kinds of the operands. */
static bool encode_plain(struct state *s, struct vm_insn insn, const struct vm_isa_row *row,
                         const struct line *l)
{
    const struct operand *first = &l->operand[0];
    const struct operand *second = &l->operand[1];
    insn.dst = first->reg & 15;
    insn.off = first->kind == MEMORY ? first->off : second->kind == MEMORY ? second->off : 0;
    if (second->kind == REGISTER || second->kind == MEMORY)
        insn.src = second->reg & 15;
    if (second->kind == NUMBER && !immediate(s, second, &insn.imm))
        return false;
    if (row->group == VM_GROUP_ATOMIC || row->group == VM_GROUP_END)
        insn.imm = row->sub;
    else if (row->group == VM_GROUP_ALU)
        insn.off = row->sub;
    if (row->group == VM_GROUP_JMP)
        return encode_jump(s, insn, row, l);
    return emit(s, insn);
}

static bool encode_line(struct state *s, const struct line *l)
{
    const struct vm_isa_row *row = find_row(s, l);
    if (!row)
        return refuse(s, "no such instruction", l->mnemonic);
    struct vm_insn insn = {.code = row->code};
    switch ((enum vm_group)row->group) {
    case VM_GROUP_LDDW: return encode_lddw(s, insn, row, l);
    case VM_GROUP_JA: return encode_jump(s, insn, row, l);
    case VM_GROUP_CALL: return encode_call(s, insn, row, l);
    case VM_GROUP_EXIT: return emit(s, insn);
    default: return encode_plain(s, insn, row, l);
    }
}

static bool encode_raw(struct state *s, char *fields)
{
    uint64_t value[RAW_FIELDS] = {0};
    char *save = NULL;
    int n = 0;
    for (char *f = strtok_r(fields, " \t", &save); f; f = strtok_r(NULL, " \t", &save), n++)
        if (n == RAW_FIELDS || !parse_number(f, &value[n]))
            return refuse(s, "want CODE DST SRC OFF IMM", f);
    if (n != RAW_FIELDS)
        return refuse(s, "want CODE DST SRC OFF IMM", "too few");
    return emit(s, (struct vm_insn){.code = (uint8_t)value[0],
                                    .dst = value[1] & 15,
                                    .src = value[2] & 15,
                                    .off = (int16_t)value[3],
                                    .imm = (int32_t)value[4]});
}

static bool add_label(struct state *s, char *name)
{
    name[strlen(name) - 1] = '\0';
    if (s->encoding)
        return true;
    if (strlen(name) >= NAME_BYTES || find_label(s, name))
        return refuse(s, "label too long or given twice", name);
    struct label *grown = realloc(s->labels, (s->label_count + 1) * sizeof *grown);
    if (!grown)
        return refuse(s, "out of memory", name);
    s->labels = grown;
    s->labels[s->label_count].slot = s->out->count;
    memcpy(s->labels[s->label_count++].name, name, strlen(name) + 1);
    return true;
}

static bool do_line(struct state *s, const char *start, size_t length)
{
    char text[LINE_BYTES];
    struct line line;
    if (length >= sizeof text)
        return refuse(s, "line too long", "");
    memcpy(text, start, length);
    text[length] = '\0';
    text[strcspn(text, "#")] = '\0';
    strip(text);
    if (!*text)
        return true;
    if (text[strlen(text) - 1] == ':')
        return add_label(s, text);
    if (!strncmp(text, ".raw ", 5))
        return encode_raw(s, text + 5);
    return parse_line(s, text, &line) && encode_line(s, &line);
}

static bool pass(struct state *s, const char *text)
{
    s->line = 0;
    s->out->count = 0;
    while (*text) {
        size_t length = strcspn(text, "\n");
        s->line++;
        if (!do_line(s, text, length))
            return false;
        text += length + (text[length] == '\n');
    }
    return true;
}

bool t_assemble(struct t_asm *out, const char *text, const struct vm_helper *const *helpers,
                uint32_t helper_count)
{
    struct state s = {.out = out, .helpers = helpers, .helper_count = helper_count};
    *out = (struct t_asm){0};
    bool ok = pass(&s, text);
    if (ok) {
        out->insns = calloc(out->count ? out->count : 1, sizeof *out->insns);
        s.encoding = true;
        ok = out->insns && pass(&s, text);
    }
    free(s.labels);
    return ok;
}

void t_asm_free(struct t_asm *a)
{
    free(a->insns);
    *a = (struct t_asm){0};
}
