/* Writes down what an instrumented Python counted, in the raw format that llvm-profdata reads:
 * `cargo xtask python --profile` links this, and nothing else does. (LLVM's own runtime for it is not
 * among Debian's packages for wasm.) The format is that of LLVM's docs/InstrProfileFormat.rst; its
 * structures and its version come from clang's header, so that they are those of the compiler. */
#define INSTR_PROF_VISIBILITY __attribute__((unused)) static
#define INSTR_PROF_VALUE_PROF_MEMOP_API
#include <stdint.h>
#include <profile/InstrProfData.inc>
#undef INSTR_PROF_VALUE_PROF_MEMOP_API

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum {
#define VALUE_PROF_KIND(name, value, description) name = value,
#include <profile/InstrProfData.inc>
    KINDS = IPVK_Last + 1
};

typedef uint32_t IntPtrT;

struct function {
#define INSTR_PROF_DATA(type, llvm_type, name, initializer) type name;
#include <profile/InstrProfData.inc>
};

struct header {
#define INSTR_PROF_RAW_HEADER(type, name, initializer) type name;
#include <profile/InstrProfData.inc>
};

/* By clang, and wasm-ld's bounds of the sections. */
extern const uint64_t __llvm_profile_raw_version;
extern struct function __start___llvm_prf_data[], __stop___llvm_prf_data[];
extern uint64_t __start___llvm_prf_cnts[], __stop___llvm_prf_cnts[];
extern char __start___llvm_prf_names[], __stop___llvm_prf_names[];

/* What clang refers to so that a runtime is linked. */
int __llvm_profile_runtime;

/* --- values: which function a pointer calls, how much a memcpy copies --- */

#define VALUES_PER_SITE 16

struct site {
    unsigned used;
    InstrProfValueData values[VALUES_PER_SITE];
};

static unsigned count_sites(const struct function *function)
{
    unsigned sites = 0;
    for (int kind = 0; kind < KINDS; kind++)
        sites += function->NumValueSites[kind];
    return sites;
}

static const struct site *find_site(const struct function *function, unsigned index)
{
    static const struct site none;
    struct site **sites = (struct site **)function->Values;
    return sites && sites[index] ? sites[index] : &none;
}

static struct site *make_site(struct function *function, unsigned index)
{
    if (!function->Values)
        function->Values = (IntPtrT)calloc(count_sites(function), sizeof(struct site *));
    struct site **sites = (struct site **)function->Values;
    if (sites && !sites[index])
        sites[index] = calloc(1, sizeof(struct site));
    return sites ? sites[index] : NULL;
}

/* The value's place; where there is none left, the rarest value loses one of its counts, and at last
 * its place. */
static InstrProfValueData *find_value(struct site *site, uint64_t value)
{
    InstrProfValueData *rarest = site->values;
    for (unsigned i = 0; i < site->used; i++) {
        if (site->values[i].Value == value)
            return &site->values[i];
        if (site->values[i].Count < rarest->Count)
            rarest = &site->values[i];
    }
    if (site->used < VALUES_PER_SITE)
        rarest = &site->values[site->used++];
    else if (rarest->Count && --rarest->Count)
        return NULL;
    *rarest = (InstrProfValueData){.Value = value};
    return rarest;
}

void __llvm_profile_instrument_target(uint64_t value, void *function, uint32_t index)
{
    struct site *site = make_site(function, index);
    InstrProfValueData *found = site ? find_value(site, value) : NULL;
    if (found)
        found->Count++;
}

void __llvm_profile_instrument_memop(uint64_t size, void *function, uint32_t index)
{
    __llvm_profile_instrument_target(InstrProfGetRangeRepValue(size), function, index);
}

/* --- the file --- */

static void pad(FILE *file)
{
    while (ftell(file) % 8)
        putc(0, file);
}

struct record {
    uint32_t kind_or_size, count;
};

static struct record measure_values(const struct function *function)
{
    struct record all = {sizeof(struct record), 0};
    for (unsigned kind = 0, site = 0; kind < KINDS; kind++) {
        unsigned sites = function->NumValueSites[kind];
        if (!sites)
            continue;
        all.count++;
        all.kind_or_size += sizeof(struct record) + (sites + 7) / 8 * 8;
        for (unsigned end = site + sites; site < end; site++)
            all.kind_or_size += find_site(function, site)->used * sizeof(InstrProfValueData);
    }
    return all;
}

static void write_values(FILE *file, const struct function *function)
{
    if (!count_sites(function))
        return;
    struct record all = measure_values(function);
    fwrite(&all, sizeof all, 1, file);
    unsigned first = 0;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        unsigned end = first + function->NumValueSites[kind];
        if (first == end)
            continue;
        fwrite(&(struct record){kind, end - first}, sizeof(struct record), 1, file);
        for (unsigned site = first; site < end; site++)
            putc((int)find_site(function, site)->used, file);
        pad(file);
        for (; first < end; first++) {
            const struct site *site = find_site(function, first);
            fwrite(site->values, sizeof site->values[0], site->used, file);
        }
    }
}

static bool write_profile(FILE *file)
{
    struct function *functions = __start___llvm_prf_data, *end = __stop___llvm_prf_data;
    struct header header = {
        .Magic = INSTR_PROF_RAW_MAGIC_32,
        .Version = __llvm_profile_raw_version,
        .NumData = (uint64_t)(end - functions),
        .NumCounters = (uint64_t)(__stop___llvm_prf_cnts - __start___llvm_prf_cnts),
        .NamesSize = (uint64_t)(__stop___llvm_prf_names - __start___llvm_prf_names),
        .CountersDelta = (uintptr_t)__start___llvm_prf_cnts - (uintptr_t)functions,
        .BitmapDelta = -(uintptr_t)functions,
        .NamesDelta = (uintptr_t)__start___llvm_prf_names,
        .ValueKindLast = IPVK_Last,
    };
    fwrite(&header, sizeof header, 1, file);
    fwrite(functions, sizeof *functions, header.NumData, file);
    fwrite(__start___llvm_prf_cnts, sizeof(uint64_t), header.NumCounters, file);
    fwrite(__start___llvm_prf_names, 1, header.NamesSize, file);
    pad(file);
    for (; functions < end; functions++)
        write_values(file, functions);
    return !ferror(file);
}

__attribute__((destructor)) static void at_exit(void)
{
    const char *path = getenv("VTWASM_PROFILE");
    if (!path)
        return;
    FILE *file = fopen(path, "wb");
    bool written = file && write_profile(file);
    if (!file || fclose(file) || !written)
        perror(path);
}
