/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions become `ja +0`, many at once as long as that goes well, then fewer; what is left is
 * moved together. Whole programs are tried, so nothing here knows what instructions do, only which
 * of them hold a distance. */
#include "tests/support/reduce.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIAL_SECONDS = 5 };

struct reduction {
    struct t_code *code; /* the smallest that fails */
    t_fails_fn *fails;
    void *context;
};

static const struct vm_insn nothing = {.code = 0x05}; /* ja +0 */

static bool is_nothing(const struct vm_insn *insn)
{
    return !memcmp(insn, &nothing, sizeof nothing);
}

static bool fails_apart(const struct reduction *r, const struct t_code *code)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, STDOUT_FILENO);
        dup2(quiet, STDERR_FILENO);
        alarm(TRIAL_SECONDS);
        _exit(r->fails(code, r->context) ? 1 : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    return WIFSIGNALED(status) ? WTERMSIG(status) != SIGALRM : WEXITSTATUS(status) != 0;
}

/* Takes over *candidate if it still fails. */
static bool accept(struct reduction *r, const struct t_code *candidate)
{
    if (!fails_apart(r, candidate))
        return false;
    *r->code = *candidate;
    return true;
}

/* ---- fewer instructions */

static void blank(struct reduction *r, uint32_t span)
{
    static struct t_code candidate;
    for (uint32_t at = 0; at < r->code->count; at += span) {
        bool changes = false;
        candidate = *r->code;
        for (uint32_t i = at; i < at + span && i < candidate.count; i++) {
            changes |= !is_nothing(&candidate.insns[i]);
            candidate.insns[i] = nothing;
        }
        if (changes)
            accept(r, &candidate);
    }
}

enum distance { NO_DISTANCE, IN_OFF, IN_IMM };

static enum distance distance_of(const struct vm_insn *insn)
{
    switch (vm_isa_find(insn)) {
    case VM_IX_JA32:
    case VM_IX_CALL_LOCAL:
    case VM_IX_LDDW_FUNC: return IN_IMM;
    default: break;
    }
    unsigned group = vm_isa[vm_isa_find(insn)].group;
    return group == VM_GROUP_JMP || group == VM_GROUP_JA ? IN_OFF : NO_DISTANCE;
}

/* Without the instructions that do nothing. */
static void compact(struct reduction *r)
{
    static struct t_code candidate;
    static uint32_t place[T_CODE_INSNS_MAX + 1]; /* of each instruction, or of the next one kept */
    const struct t_code *code = r->code;
    candidate.count = 0;
    for (uint32_t i = 0; i < code->count; i++) {
        place[i] = candidate.count;
        if (!is_nothing(&code->insns[i]))
            candidate.insns[candidate.count++] = code->insns[i];
    }
    place[code->count] = candidate.count;
    for (uint32_t i = 0; i < code->count; i++) {
        const struct vm_insn *insn = &code->insns[i];
        if (is_nothing(insn) || vm_isa_find(insn) == VM_IX_COUNT)
            continue;
        enum distance kind = distance_of(insn);
        int64_t target = (int64_t)i + 1 + (kind == IN_OFF ? insn->off : insn->imm);
        if (kind == NO_DISTANCE || target < 0 || target > code->count)
            continue;
        int32_t distance = (int32_t)place[target] - (int32_t)place[i] - 1;
        if (kind == IN_OFF)
            candidate.insns[place[i]].off = (int16_t)distance;
        else
            candidate.insns[place[i]].imm = distance;
    }
    if (candidate.count && candidate.count < code->count)
        accept(r, &candidate);
}

/* ---- plainer ones */

static void shrink_constants(struct reduction *r)
{
    static struct t_code candidate;
    static const int32_t plain[] = {0, 1, -1, 2, 8};
    for (uint32_t i = 0; i < r->code->count; i++)
        for (unsigned k = 0; k < sizeof plain / sizeof *plain; k++) {
            const struct vm_insn *insn = &r->code->insns[i];
            enum vm_ix ix = vm_isa_find(insn);
            if (insn->imm == plain[k] || (ix != VM_IX_COUNT && distance_of(insn) == IN_IMM))
                break;
            candidate = *r->code;
            candidate.insns[i].imm = plain[k];
            if (accept(r, &candidate))
                break;
        }
}

void t_reduce(struct t_code *code, t_fails_fn *fails, void *context)
{
    struct reduction r = {code, fails, context};
    uint32_t before;
    if (!fails_apart(&r, code))
        return;
    do {
        before = code->count;
        for (uint32_t span = code->count; span > 0; span /= 2)
            blank(&r, span);
        compact(&r);
    } while (code->count < before);
    shrink_constants(&r);
}
