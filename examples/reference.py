#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the reference part of the example site: one page for each instruction of vm/isa.def (site/isa)
and for each helper of sdk/helpers.def (site/api), with an index of both. Run it after a row changed:

    python3 examples/reference.py

The results are committed, so that building and serving the site needs no Python. The examples on the
pages are computed here, independently of the engines, from the rules of RFC 9669.
"""
import html
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "examples" / "site"
M64 = (1 << 64) - 1

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · The zeroserve field guide</title>
<meta name="description" content="{description}">
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/style.css">
<script src="/assets/app.js" defer></script>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="bar"><div>
<a class="brand" href="/"><img src="/assets/icon.svg" width="28" height="28" alt="">The zeroserve field guide</a>
<nav aria-label="Site">{nav}</nav>
<button class="theme" type="button" aria-label="Light or dark" hidden>◐</button>
</div></header>
<main id="content">
{body}
</main>
<footer class="foot"><div><p>Served from one tar file by zeroserve. Apache-2.0.</p></div></footer>
</body>
</html>
"""
NAV = [("/guide/", "Guide"), ("/api/", "Helpers"), ("/isa/", "Instructions"),
       ("/gallery/", "Gallery"), ("/about/", "About")]


def page(path, title, description, body):
    section = "/" + path.split("/")[0] + "/"
    nav = "".join(f'<a href="{href}"{" aria-current=page" if href == section else ""}>{name}</a>'
                  for href, name in NAV)
    target = SITE / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(PAGE.format(title=html.escape(title), description=html.escape(description),
                                  nav=nav, body=body.strip()))


# ---- instructions ----

def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def divide(a, b):  # towards zero, as the RFC and C have it
    q = abs(a) // abs(b)
    return -q if (a < 0) != (b < 0) else q


def swap(value, bits):
    return int.from_bytes((value & ((1 << bits) - 1)).to_bytes(bits // 8, "little"), "big")


ALU = {
    # op: (verb phrase, formula, function of (a, b, bits), example operands, remark)
    "ADD": ("adds the source to the destination", "dst += src", lambda a, b, w: a + b,
            (M64, 2), "The sum wraps around; there are no flags and no carry."),
    "SUB": ("subtracts the source from the destination", "dst -= src", lambda a, b, w: a - b,
            (3, 5), "The difference wraps around below zero."),
    "MUL": ("multiplies the destination by the source", "dst *= src", lambda a, b, w: a * b,
            (0x100000001, 7), "The low half of the product is kept; the rest is lost."),
    "OR": ("sets every bit that is set in the source", "dst |= src", lambda a, b, w: a | b,
           (0xF0, 0x0F), "Handy for setting flags."),
    "AND": ("keeps the bits that are set in the source", "dst &= src", lambda a, b, w: a & b,
            (0xABCD, 0xFF), "Handy for masks: and with 7 is the remainder by 8."),
    "XOR": ("flips every bit that is set in the source", "dst ^= src", lambda a, b, w: a ^ b,
            (0xFF00, 0x0FF0), "A register xored with itself is zero."),
    "LSH": ("shifts the destination to the left", "dst <<= src & mask",
            lambda a, b, w: a << (b & (w - 1)), (0x81, 4),
            "Only the low bits of the count matter: {mask}. A shift by {w} shifts by nothing."),
    "RSH": ("shifts the destination to the right, filling with zeros", "dst >>= src & mask",
            lambda a, b, w: (a & ((1 << w) - 1)) >> (b & (w - 1)), (0xFFFFFFFFFFFFFF00, 8),
            "Only the low bits of the count matter: {mask}. The sign is not kept; arsh does that."),
    "ARSH": ("shifts the destination to the right, keeping its sign", "dst s>>= src & mask",
             lambda a, b, w: signed(a, w) >> (b & (w - 1)), (0xFFFFFFFFFFFFFF00, 4),
             "Only the low bits of the count matter: {mask}. The top bit is copied in from the left."),
    "DIV": ("divides the destination by the source, both without sign", "dst = src ? dst / src : 0",
            lambda a, b, w: (a % (1 << w)) // (b % (1 << w)) if b % (1 << w) else 0, (100, 7),
            "Division by zero gives zero. It is not a fault."),
    "SDIV": ("divides the destination by the source, both with sign", "dst = src ? dst s/ src : 0",
             lambda a, b, w: divide(signed(a, w), signed(b, w)) if b % (1 << w) else 0, (M64 - 99, 7),
             "Rounds towards zero. Division by zero gives zero, and the lowest number divided by -1 "
             "is itself. Told from div by the offset field, which is 1."),
    "MOD": ("leaves the remainder of a division without sign", "dst = src ? dst % src : dst",
            lambda a, b, w: (a % (1 << w)) % (b % (1 << w)) if b % (1 << w) else a, (100, 7),
            "Modulo zero leaves the destination as it is. It is not a fault."),
    "SMOD": ("leaves the remainder of a division with sign", "dst = src ? dst s% src : dst",
             lambda a, b, w: (signed(a, w) - signed(b, w) * divide(signed(a, w), signed(b, w)))
             if b % (1 << w) else a, (M64 - 99, 7),
             "The remainder has the sign of the dividend, as in C. Modulo zero leaves the destination "
             "as it is. Told from mod by the offset field, which is 1."),
    "NEG": ("negates the destination", "dst = -dst", lambda a, b, w: -a, (5, 0),
            "The lowest number is its own negative."),
    "MOV": ("copies the source to the destination", "dst = src", lambda a, b, w: b, (0, 42),
            "An immediate is 32 bits wide and sign-extended; lddw loads all 64."),
}
for n in (8, 16, 32):
    ALU[f"MOVSX{n}"] = (f"copies the low {n} bits of the source and extends their sign",
                        f"dst = (s{n})src", lambda a, b, w, n=n: signed(b, n),
                        (0, (1 << (n - 1)) + 1),
                        f"Told from mov by the offset field, which is {n}.")

CONDITIONS = {
    "JEQ": ("equals the source", "=="), "JNE": ("differs from the source", "!="),
    "JGT": ("is above the source, without sign", ">"),
    "JGE": ("is not below the source, without sign", ">="),
    "JLT": ("is below the source, without sign", "<"),
    "JLE": ("is not above the source, without sign", "<="),
    "JSGT": ("is above the source, with sign", "s>"),
    "JSGE": ("is not below the source, with sign", "s>="),
    "JSLT": ("is below the source, with sign", "s<"),
    "JSLE": ("is not above the source, with sign", "s<="),
    "JSET": ("has a bit in common with the source", "&"),
}
ATOMICS = {
    "AADD": ("adds to memory", "*p += src"), "AFADD": ("adds to memory and fetches what was there",
                                                       "old = *p; *p += src; src = old"),
    "AOR": ("sets bits in memory", "*p |= src"),
    "AFOR": ("sets bits in memory and fetches what was there", "old = *p; *p |= src; src = old"),
    "AAND": ("masks memory", "*p &= src"),
    "AFAND": ("masks memory and fetches what was there", "old = *p; *p &= src; src = old"),
    "AXOR": ("flips bits in memory", "*p ^= src"),
    "AFXOR": ("flips bits in memory and fetches what was there", "old = *p; *p ^= src; src = old"),
    "AXCHG": ("swaps a register with memory", "old = *p; *p = src; src = old"),
    "ACMPXCHG": ("replaces memory when it equals r0, and puts what was there into r0",
                 "old = *p; if (old == r0) *p = src; r0 = old"),
}


def rows():
    section = ""
    for line in (ROOT / "vm" / "isa.def").read_text().splitlines():
        heading = re.match(r"/\* ([A-Z0-9].*?) \(RFC 9669 ([0-9., ]+)\)", line)
        if heading:
            section = heading.group(1)
            rfc = heading.group(2)
        if not line.startswith("ISA("):
            continue
        part = [field.strip() for field in line[4:line.rindex(")")].split(",")]
        yield {"name": part[0], "code": int(part[1], 16), "sub": int(part[2], 0), "group": part[3],
               "op": part[4], "source": part[5], "width": int(part[6]), "fields": part[7],
               "mnemonic": part[8].strip('"'), "section": section, "rfc": rfc}


def hexadecimal(value):
    return f"0x{value & M64:x}"


def describe_alu(row):
    verb, formula, function, (a, b), remark = ALU[row["op"]]
    bits = row["width"]
    mask = "six of them" if bits == 64 else "five of them"
    remark = remark.format(mask=mask, w=bits)
    if bits == 32:
        a, b = a & 0xFFFFFFFF if row["op"] in ("ARSH", "RSH", "SDIV", "SMOD") else a, b & 0xFFFFFFFF
        remark += " The upper half of the destination becomes zero."
        formula = formula.replace("dst", "w(dst)").replace("src", "w(src)")
    result = function(a, b, bits) & ((1 << bits) - 1)
    one = row["source"] == "NONE"
    example = {"dst": 1, "src": 2 if row["source"] == "REG" else 0,
               "imm": b if row["source"] == "IMM" else 0,
               "off": row["sub"],
               "text": f'{row["mnemonic"]} r1' + ("" if one else ", r2" if row["source"] == "REG"
                                                  else f", {b}"),
               "before": [("r1", a)] + ([("r2", b)] if row["source"] == "REG" else []),
               "after": [("r1", result)]}
    return verb, formula.replace("src", "imm") if row["source"] == "IMM" else formula, remark, example


def describe_swap(row):
    bits, op = row["width"], row["op"]
    value = 0x1122334455667788
    if op == "LE":
        verb = f"keeps the low {bits} bits in little-endian order"
        remark = "On a little-endian machine no byte moves; what lies above is cleared."
        result = value & ((1 << bits) - 1)
    else:
        verb = (f"turns the low {bits} bits into big-endian order" if op == "BE"
                else f"reverses the bytes of the low {bits} bits")
        remark = ("Network order to host order and back. What lies above is cleared." if op == "BE"
                  else "Unlike be and le it swaps on every machine. What lies above is cleared.")
        result = swap(value, bits)
    return verb, f"dst = {op.lower()}{bits}(dst)", remark, {
        "dst": 1, "src": 0, "imm": bits, "off": 0, "text": f'{row["mnemonic"]} r1',
        "before": [("r1", value)], "after": [("r1", result)]}


def describe_memory(row):
    bits, group = row["width"], row["group"]
    size = f"{bits // 8} byte" + ("s" if bits > 8 else "")
    if group in ("LDX", "LDSX"):
        sign = group == "LDSX"
        verb = f"loads {size} from memory" + (" and extends the sign" if sign else "")
        formula = f'dst = *({"s" if sign else "u"}{bits} *)(src + off)'
        value = (1 << bits) - 2 if sign else 0x1122334455667788 & ((1 << bits) - 1)
        example = {"dst": 1, "src": 10, "off": -16, "imm": 0, "text": f'{row["mnemonic"]} r1, [r10-16]',
                   "before": [("memory", value)],
                   "after": [("r1", signed(value, bits) if sign else value)]}
        remark = ("The loaded number keeps its sign in all 64 bits." if sign
                  else "The rest of the destination becomes zero." if bits < 64
                  else "The widest load there is.")
    else:
        register = group == "STX"
        verb = f"stores {size} of " + ("a register" if register else "an immediate") + " to memory"
        formula = f'*(u{bits} *)(dst + off) = {"src" if register else "imm"}'
        example = {"dst": 10, "src": 1 if register else 0, "off": -16, "imm": 0 if register else 42,
                   "text": f'{row["mnemonic"]} [r10-16], {"r1" if register else "42"}',
                   "before": [("r1", 0x1122334455667788)] if register else [],
                   "after": [("memory", 0x1122334455667788 & ((1 << bits) - 1) if register else 42)]}
        remark = ("Bits above the width are left out." if register and bits < 64
                  else "The immediate is sign-extended to 64 bits." if bits == 64 and not register
                  else "Neighbouring bytes stay as they are.")
    return verb, formula, remark + (" The address need not be aligned. An address outside of the "
                                    "program's memory ends the run with a fault."), example


def describe_atomic(row):
    verb, formula = ATOMICS[row["op"]]
    bits = row["width"]
    remark = ("It happens in one step: no other thread sees half of it. An address that is not a "
              f"multiple of {bits // 8} is a fault, because a locked access across two cache lines "
              "would stall every core of the machine.")
    if row["sub"] & 1 and bits == 32:
        remark += " The fetched number is zero-extended."
    return verb, formula, remark, {
        "dst": 10, "src": 1, "off": -8, "imm": row["sub"],
        "text": f'{row["mnemonic"]} [r10-8], r1', "before": [], "after": []}


def describe_jump(row):
    words, sign = CONDITIONS[row["op"]]
    register = row["source"] == "REG"
    half = " All comparison happens on the low 32 bits." if row["width"] == 32 else ""
    other = "src" if register else "imm"
    left = "w(dst)" if row["width"] == 32 else "dst"
    if row["width"] == 32 and register:
        other = "w(src)"
    remark = ("The distance counts instructions from the one after the jump, forwards or backwards, "
              "and stays inside the function." + half)
    if not register and row["width"] == 64:
        remark += " The immediate is sign-extended first."
    return (f"jumps when the destination {words}", f"if ({left} {sign} {other}) goto +off", remark,
            {"dst": 1, "src": 2 if register else 0, "off": 3, "imm": 0 if register else 10,
             "text": f'{row["mnemonic"]} r1, {"r2" if register else "10"}, +3',
             "before": [], "after": []})


SINGLE = {
    "LDDW": ("loads a number of 64 bits", "dst = imm64",
             "The only instruction of two slots: the second one holds the upper half. Addresses of "
             "variables are loaded with it, too; the loader fills them in.",
             {"dst": 1, "src": 0, "off": 0, "imm": 0x55667788, "next": 0x11223344,
              "text": "lddw r1, 0x1122334455667788", "before": [],
              "after": [("r1", 0x1122334455667788)]}),
    "LDDW_FUNC": ("loads the address of a function", "dst = address of function",
                  "What callx takes. Function addresses lie where no memory is, so a function pointer "
                  "can be called and compared but not read through.",
                  {"dst": 1, "src": 4, "off": 0, "imm": 5, "next": 0, "text": "lddw r1, function",
                   "before": [], "after": []}),
    "JA": ("jumps", "goto +off", "Reaches 32767 instructions; gotol goes further.",
           {"dst": 0, "src": 0, "off": 3, "imm": 0, "text": "ja +3", "before": [], "after": []}),
    "JA32": ("jumps far", "goto +imm", "The distance is in the immediate, for functions too long for ja.",
             {"dst": 0, "src": 0, "off": 0, "imm": 100000, "text": "gotol +100000", "before": [],
              "after": []}),
    "CALL": ("calls a helper of the host", "r0 = helper(r1, r2, r3, r4, r5)",
             "Objects name helpers by symbol. r1 to r5 are lost in the call, r6 to r9 are kept. Every "
             "helper is listed under <a href=\"/api/\">Helpers</a>.",
             {"dst": 0, "src": 0, "off": 0, "imm": 1, "text": "call zs_now_ms", "before": [],
              "after": []}),
    "CALL_LOCAL": ("calls a function of the program", "r0 = function(r1, r2, r3, r4, r5)",
                   "The callee has a stack frame of its own, and r6 to r9 come back as they were. Calls "
                   "may nest 32 deep.",
                   {"dst": 0, "src": 1, "off": 0, "imm": 7, "text": "call +7", "before": [],
                    "after": []}),
    "CALLX": ("calls the function whose address is in a register", "r0 = dst(r1, r2, r3, r4, r5)",
              "Only the first instruction of a function can be reached; anything else is a fault.",
              {"dst": 3, "src": 0, "off": 0, "imm": 0, "text": "callx r3", "before": [], "after": []}),
    "EXIT": ("returns from the function", "return r0",
             "From the entry function it ends the program, and r0 is its result.",
             {"dst": 0, "src": 0, "off": 0, "imm": 0, "text": "exit", "before": [], "after": []}),
}
DESCRIBE = {"ALU": describe_alu, "END": describe_swap, "LDX": describe_memory, "LDSX": describe_memory,
            "ST": describe_memory, "STX": describe_memory, "ATOMIC": describe_atomic,
            "JMP": describe_jump}


def strip(row, example):
    """The eight bytes of the example, field by field."""
    fields = row["fields"] + (" F_OFF" if row["sub"] and row["group"] == "ALU" else "")
    data = [row["code"], example["src"] << 4 | example["dst"]]
    data += (example["off"] & 0xFFFF).to_bytes(2, "little")
    data += (example["imm"] & 0xFFFFFFFF).to_bytes(4, "little")
    kinds = ["code", "regs" if "F_DST" in fields or "F_SRC" in fields else "unused"]
    kinds += ["" if "F_OFF" in fields else "unused"] * 2 + ["" if "F_IMM" in fields else "unused"] * 4
    cells = "".join(f'<li{f" class={kind}" if kind else ""}>{byte:02x}</li>'
                    for byte, kind in zip(data, kinds))
    second = ""
    if "next" in example:
        rest = [0, 0, 0, 0] + list(example["next"].to_bytes(4, "little"))
        second = '<ol class="bytes" aria-label="second slot">' + "".join(
            f'<li{" class=unused" if i < 4 else ""}>{byte:02x}</li>'
            for i, byte in enumerate(rest)) + "</ol>"
    return (f'<ol class="bytes" aria-label="bytes">{cells}</ol>{second}\n<ul class="legend"><li>opcode</li>'
            '<li>src, dst</li><li class="two">offset</li><li class="four">immediate</li></ul>')


def registers(title, values, bits):
    return "".join(f"<tr><td>{title}</td><td class=mono>{name}</td><td class=mono>{hexadecimal(value)}"
                   f"</td><td class=mono>{signed(value, bits)}</td></tr>" for name, value in values)


def operand(row):
    return {"IMM": " immediate", "REG": " register", "NONE": ""}[row["source"]]


def instruction_pages():
    table = list(rows())
    for row in table:
        describe = DESCRIBE.get(row["group"])
        row["text"] = describe(row) if describe else SINGLE[row["name"]]
        row["file"] = row["name"].lower().replace("_", "-") + ".html"
    for number, row in enumerate(table):
        verb, formula, remark, example = row["text"]
        title = row["mnemonic"] + operand(row)
        bits = row["width"] if row["group"] == "ALU" else 64
        table_rows = (registers("before", example["before"], bits)
                      + registers("after", example["after"], bits))
        values = ("" if not example["after"] else '<div class="scroll"><table><thead><tr><th></th><th>where</th>'
                  f"<th>hexadecimal</th><th>signed decimal</th></tr></thead><tbody>{table_rows}"
                  "</tbody></table></div>")
        neighbours = [table[number - 1] if number else None,
                      table[number + 1] if number + 1 < len(table) else None]
        pager = "".join(f'<a href="/isa/{n["file"]}">{arrow[0]}{n["mnemonic"]}{operand(n)}{arrow[1]}</a>'
                        if n else "<span></span>" for n, arrow in zip(neighbours, [("← ", ""), ("", " →")]))
        page("isa/" + row["file"], title, f'{row["mnemonic"]}: {verb}.', f"""
<p class="crumbs"><a href="/isa/">Instructions</a> / {row["section"]}</p>
<p class="plate">Plate {number + 1} of {len(table)}</p>
<h1><code>{row["mnemonic"]}</code></h1>
<p class="lead">{verb[0].upper() + verb[1:]}.</p>
<pre><code>{html.escape(formula)}</code></pre>
<p>{remark}</p>
<h2>One of its kind</h2>
<p><code>{html.escape(example["text"])}</code> is encoded as</p>
{strip(row, example)}
{values}
<h2>Marks</h2>
<div class="scroll"><table><tbody>
<tr><td>Opcode</td><td class="mono">0x{row["code"]:02x}</td></tr>
<tr><td>Width</td><td>{row["width"]} bits</td></tr>
<tr><td>Second operand</td><td>{dict(IMM="immediate", REG="register", NONE="none")[row["source"]]}</td></tr>
<tr><td>Fields that mean something</td><td>{", ".join(dict(F_DST="destination", F_SRC="source", F_OFF="offset", F_IMM="immediate")[f] for f in row["fields"].split(" | ")) if row["fields"] != "0" else "none"}; the others are zero</td></tr>
<tr><td>Defined in</td><td>RFC 9669, section {row["rfc"]}</td></tr>
</tbody></table></div>
<nav class="pager" aria-label="Neighbours">{pager}</nav>""")
    sections = dict.fromkeys(row["section"] for row in table)
    body = ""
    for section in sections:
        lines = "".join(
            f'<tr><td class="mono">0x{r["code"]:02x}</td><td class="mono"><a href="/isa/{r["file"]}">{r["mnemonic"]}</a></td>'
            f'<td>{r["text"][0][0].upper() + r["text"][0][1:]}</td><td class="mono">{dict(IMM="immediate", REG="register", NONE="")[r["source"]]}</td></tr>'
            for r in table if r["section"] == section)
        body += (f'<section data-filter><h2>{section}</h2><div class="scroll"><table><thead><tr><th>Opcode</th>'
                 "<th>Name</th><th>What it does</th><th>Operand</th></tr></thead>"
                 f"<tbody>{lines}</tbody></table></div></section>\n")
    page("isa/index.html", "Instructions", "Every instruction of eBPF, one page each.", f"""
<h1>Instructions</h1>
<p class="lead">The {len(table)} instructions of RFC 9669, each with its plate: what it does, how its eight
bytes look, and what it leaves behind.</p>
<p>A program has eleven registers of 64 bits. r0 holds results, r1 to r5 arguments, r6 to r9 survive
calls, and r10 points to the top of the stack frame and cannot be written.</p>
<input class="search" type="search" placeholder="Find: atomic, jump sign, 0x85 …" aria-label="Find an instruction" hidden>
{body}""")
    return len(table)


# ---- helpers ----

KINDS = {"READ": "memory that is read; its length follows",
         "WRITE": "memory that is written; its length follows",
         "UPDATE": "memory that is changed in place; its length follows",
         "LENGTH": "length of the memory before, in bytes", "SCALAR": "a number",
         "CSTR": "text ended by NUL", "READ8": "eight bytes that are read",
         "WRITE8": "eight bytes that are written"}
SNIPPETS = {
    "zs_log": 'zs_log(ZS_STR("cache miss\\n"));',
    "zs_now_ms": "zs_u64 now = zs_now_ms();",
    "zs_env_get": 'char token[64];\nzs_env_get(ZS_STR("API_TOKEN"), token, sizeof token);',
    "zs_getrandom": "zs_u8 key[16];\nzs_getrandom(key, sizeof key);",
    "zs_req_header": 'char agent[128];\nzs_req_header(ZS_STR("user-agent"), agent, sizeof agent);',
    "zs_req_query_param": 'char page[16];\nzs_req_query_param(ZS_STR("page"), page, sizeof page);',
    "zs_req_query_param_matches": 'if (zs_req_query_param_matches(ZS_STR("debug"), ZS_STR("*")))\n'
                                  '    zs_log(ZS_STR("debugging\\n"));',
    "zs_req_set_method": 'zs_req_set_method(ZS_STR("GET"));',
    "zs_req_set_uri": 'zs_req_set_uri(ZS_STR("/guide/?from=docs"));',
    "zs_req_set_header": 'zs_req_set_header(ZS_STR("x-seen"), ZS_STR("1"));',
    "zs_req_append_header": 'zs_req_append_header(ZS_STR("via"), ZS_STR("1.1 edge"));',
    "zs_req_delete_header": 'zs_req_delete_header(ZS_STR("x-internal-*"));',
    "zs_meta_get": 'char user[32];\nzs_meta_get(ZS_STR("user"), user, sizeof user);',
    "zs_meta_set": 'zs_meta_set(ZS_STR("zs.response.header.cache-control"), ZS_STR("no-store"));',
    "zs_res_add_header": 'zs_res_add_header(ZS_STR("set-cookie"), ZS_STR("seen=1; Path=/; HttpOnly"));',
    "zs_res_delete_header": 'zs_res_delete_header(ZS_STR("last-modified"));',
    "zs_respond": 'zs_respond(403, ZS_STR("Not here.\\n"));',
    "zs_response_pending": "if (zs_response_pending())\n    zs_response_clear();",
    "zs_response_clear": "zs_response_clear();",
    "zs_abort": "zs_abort();\nreturn 0;",
    "zs_sha256": "zs_u8 digest[32];\nzs_sha256(ZS_STR(\"text\"), digest, sizeof digest);",
    "zs_hmac_sha256": "zs_u8 mac[32];\nzs_hmac_sha256(ZS_STR(\"key\"), message, length, mac);",
    "zs_base64_encode": "char text[44];\nzs_base64_encode(digest, 32, text, sizeof text, ZS_BASE64_STANDARD);",
    "zs_base64_decode_in_place": "zs_s64 length = zs_base64_decode_in_place(text, zs_strlen(text), "
                                 "ZS_BASE64_URL_NO_PAD);\nif (length < 0)\n"
                                 "    zs_respond(400, ZS_STR(\"not base64\\n\"));",
    "zs_hex_encode": "char text[64];\nzs_hex_encode(digest, 32, text, sizeof text, ZS_HEX_LOWERCASE);",
    "zs_hex_decode_in_place": "zs_s64 length = zs_hex_decode_in_place(text, zs_strlen(text));",
    "zs_json_parse": "zs_s64 rules = zs_json_parse(ZS_STR(\"[1, 2, 3]\"));\n"
        "if (rules < 0)\n    zs_respond(400, ZS_STR(\"not JSON\\n\"));",
    "zs_json_new_object": "zs_s64 object = zs_json_new_object();",
    "zs_json_new_array": "zs_s64 list = zs_json_new_array();",
    "zs_json_clone": "zs_s64 copy = zs_json_clone(object);",
    "zs_object_free": "zs_object_free(object);",
    "zs_json_reset": "zs_json_reset(member);",
    "zs_json_get": "zs_s64 name = zs_json_get(object, ZS_STR(\"name\"));",
    "zs_json_array_get": "zs_s64 first = zs_json_array_get(list, 0);",
    "zs_json_read_string": "char text[64];\nzs_json_read_string(name, text, sizeof text);",
    "zs_json_read_i64": "zs_s64 number;\n"
        "if (zs_json_read_i64(value, &number, sizeof number) == 8)\n    number++;",
    "zs_json_read_bool": "zs_u8 flag;\nzs_json_read_bool(value, &flag, 1);",
    "zs_json_len": "zs_s64 length = zs_json_len(list);",
    "zs_json_type": "if (zs_json_type(value) == ZS_JSON_ARRAY)\n    zs_log(ZS_STR(\"a list\\n\"));",
    "zs_json_set": "zs_json_set(object, ZS_STR(\"name\"), value);",
    "zs_json_remove": "zs_json_remove(object, ZS_STR(\"secret\"));",
    "zs_json_array_push": "zs_json_array_push(list, value);",
    "zs_json_array_set": "zs_json_array_set(list, 0, value);",
    "zs_json_set_string": "zs_json_set_string(value, ZS_STR(\"text\"));",
    "zs_json_set_i64": "zs_json_set_i64(value, 42);",
    "zs_json_set_bool": "zs_json_set_bool(value, 1);",
    "zs_json_set_null": "zs_json_set_null(value);",
    "zs_json_respond": "zs_json_respond(200, object);",
    "zs_memcpy": "zs_memcpy(copy, text, length);",
    "zs_memset": "zs_memset(buffer, 0, sizeof buffer);",
    "zs_memcmp": "if (zs_memcmp(a, b, 16) == 0)\n    zs_respond(200, ZS_STR(\"the same\\n\"));",
    "memcpy": "memcpy(copy, text, 16);",
    "memset": "memset(buffer, 0, 16);",
    "memmove": "memmove(buffer, buffer + 1, 15);",
    "memcmp": "int order = memcmp(a, b, 8);",
}


def helpers():
    text = (ROOT / "sdk" / "helpers.def").read_text().partition("/* clang-format off */")[2]
    family = ""
    pattern = (r"/\* ---- (?P<family>.*?) ---- \*/|ZS_HELPER\((?P<returns>[a-z_0-9]+(?: \*)?), (?P<name>\w+),\s*"
               r"\((?P<parameters>[^)]*)\),\s*\((?P<kinds>[^)]*)\), \"(?P<text>(?:[^\"\\]|\\.)*)\"\)")
    for match in re.finditer(pattern, text):
        if match.group("family"):
            family = re.split(r"[,;:.]", match.group("family"))[0]
            family = family[0].upper() + family[1:]
            continue
        row = match.groupdict()
        row["family"] = family
        parameters = re.sub(r"\s+", " ", row["parameters"])
        row["parameters"] = parameters
        row["list"] = [] if parameters == "void" else parameters.split(", ")
        row["kinds"] = row["kinds"].split(", ")[:len(row["list"])]
        yield row


def snippet(row):
    if row["name"] in SNIPPETS:
        return SNIPPETS[row["name"]]
    if row["text"].startswith("text out"):
        return f'char text[256];\n{row["name"]}(text, sizeof text);'
    return f'zs_s64 answer = {row["name"]}();'


def helper_pages():
    table = list(helpers())
    for number, row in enumerate(table):
        text = row["text"]
        out = text.startswith("text out: ")
        plain = text.removeprefix("text out: ")
        lead = plain[0].upper() + plain[1:] + "."
        joint = "" if row["returns"].endswith("*") else " "
        prototype = f'{row["returns"]}{joint}{row["name"]}({row["parameters"]});'
        lines = "".join(f"<tr><td class=mono>{html.escape(p)}</td><td>{KINDS[k]}</td></tr>"
                        for p, k in zip(row["list"], row["kinds"]))
        arguments = ("<p>It takes no arguments.</p>" if not lines else '<div class="scroll"><table><thead><tr>'
                     f"<th>Argument</th><th>What the server checks</th></tr></thead><tbody>{lines}"
                     "</tbody></table></div>")
        rule = ("<p>The text is cut to <code>out_len - 1</code> bytes and always ended by NUL. The result is its "
                "length, or <code>out_len</code> when it was cut. What is absent reads as the empty text.</p>"
                if out else "")
        pager = "".join(f'<a href="/api/{n["name"]}.html">{a}{n["name"]}{b}</a>' if n else "<span></span>"
                        for n, a, b in ((table[number - 1] if number else None, "← ", ""),
                                        (table[number + 1] if number + 1 < len(table) else None, "", " →")))
        page(f'api/{row["name"]}.html', row["name"], f'{row["name"]}: {lead}', f"""
<p class="crumbs"><a href="/api/">Helpers</a> / {html.escape(row["family"])}</p>
<h1><code>{row["name"]}</code></h1>
<p class="lead">{html.escape(lead)}</p>
<pre><code>{html.escape(prototype)}</code></pre>
{rule}
<h2>Arguments</h2>
{arguments}
<h2>In a script</h2>
<pre><code>{html.escape(snippet(row))}</code></pre>
<p>A pointer that leaves the script's memory ends the script, and the request is answered with status 500.</p>
<nav class="pager" aria-label="Neighbours">{pager}</nav>""")
    body = ""
    for family in dict.fromkeys(row["family"] for row in table):
        lines = "".join(f'<tr><td class="mono"><a href="/api/{r["name"]}.html">{r["name"]}</a></td>'
                        f'<td>{html.escape(r["text"])}</td></tr>' for r in table if r["family"] == family)
        body += (f'<section data-filter><h2>{html.escape(family)}</h2><div class="scroll"><table><tbody>{lines}'
                 "</tbody></table></div></section>\n")
    page("api/index.html", "Helpers", "Every function of the server that a script can call.", f"""
<h1>Helpers</h1>
<p class="lead">The {len(table)} functions a script can call. They are all there is: no libc, no files, no
sockets.</p>
<p>Where it says “text out”, the last two arguments are a buffer and its size. The text is cut to fit and
always ended by NUL.</p>
<input class="search" type="search" placeholder="Find: header, random, copy …" aria-label="Find a helper" hidden>
{body}""")
    return len(table)


if __name__ == "__main__":
    print(instruction_pages(), "instructions,", helper_pages(), "helpers")
