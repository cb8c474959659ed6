/* SPDX-License-Identifier: Apache-2.0 */
/* Errors and faults as text. */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vm/vm.h"

const char *vm_error_text(enum vm_error error)
{
    static const char *const texts[VM_ERROR_COUNT] = {
#define VM_ERROR(name, text) [VM_ERROR_##name] = text,
#include "vm/err.def"
    };
    return (unsigned)error < VM_ERROR_COUNT ? texts[error] : "unknown error";
}

enum vm_error vm_diag_set(struct vm_diag *diag, enum vm_error error, uint32_t insn,
                          const char *format, ...)
{
    va_list args;

    if (diag != NULL) {
        diag->error = error;
        diag->insn = insn;
        va_start(args, format);
        vsnprintf(diag->text, sizeof diag->text, format, args);
        va_end(args);
    }
    return error;
}

/* The name of parameter `index`, from 1, in "(const char *msg, uint64_t len)". Its length in
 * *length, 0 when there is none. */
static const char *parameter_name(const char *parameters, uint32_t index, int *length)
{
    const char *end = parameters;

    *length = 0;
    for (uint32_t i = 0; i < index; i++) {
        end += *end != '\0';
        end += strcspn(end, ",)");
    }
    while (end > parameters && (isalnum((unsigned char)end[-1]) || end[-1] == '_')) {
        end--;
        ++*length;
    }
    return end;
}

static void format_helper(const struct vm_fault *fault, char *out, size_t out_bytes)
{
    char argument[64] = "";
    char span[48] = "";

    if (fault->argument != 0) {
        int length;
        const char *list = fault->parameters != NULL ? fault->parameters : "";
        const char *name = parameter_name(list, fault->argument, &length);

        snprintf(argument, sizeof argument,
                 length != 0 ? "argument %u (%.*s): " : "argument %u: ", fault->argument, length,
                 name);
        snprintf(span, sizeof span,
                 fault->span_bytes != 0 ? "0x%" PRIx64 "..0x%" PRIx64 " " : "0x%" PRIx64 " ",
                 fault->span_start, fault->span_start + fault->span_bytes);
    }
    snprintf(out, out_bytes, "%s: %s%s%s", fault->helper != NULL ? fault->helper : "helper",
             argument, span, fault->text != NULL ? fault->text : "refused");
}

void vm_fault_format(const struct vm_fault *fault, char *out, size_t out_bytes)
{
    static const char *const texts[VM_FAULT_COUNT] = {
#define VM_FAULT(name, text) [VM_FAULT_##name] = text,
#include "vm/fault.def"
    };
    char what[192];
    char source[128] = "";
    char place[32] = "";

    switch (fault->kind) {
    case VM_FAULT_READ:
    case VM_FAULT_WRITE:
    case VM_FAULT_MISALIGNED:
    case VM_FAULT_STACK:
    case VM_FAULT_CALLX:
        snprintf(what, sizeof what, "%s 0x%x", texts[fault->kind], fault->address);
        break;
    case VM_FAULT_HELPER: format_helper(fault, what, sizeof what); break;
    case VM_FAULT_NONE:
    case VM_FAULT_CALL_DEPTH:
    case VM_FAULT_BUDGET:
    case VM_FAULT_CANCELLED:
    case VM_FAULT_COUNT:
        snprintf(what, sizeof what, "%s",
                 (unsigned)fault->kind < VM_FAULT_COUNT ? texts[fault->kind] : "unknown fault");
        break;
    }
    if (fault->insn != VM_NO_INSN) {
        snprintf(place, sizeof place, "instruction %u", fault->insn);
    }
    if (fault->file != NULL) {
        snprintf(source, sizeof source,
                 fault->function[0] != '\0' ? " (%.100s:%u)" : " at %.100s:%u",
                 vm_file_short(fault->file), fault->line);
    }
    snprintf(out, out_bytes, "%s%s%s%s%s%s", what, fault->function[0] != '\0' ? " in " : "",
             fault->function, source, place[0] != '\0' ? ", " : "", place);
}
