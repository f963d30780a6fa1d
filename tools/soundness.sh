#!/usr/bin/env bash
# Rules of the tree that a compiler does not keep. Prints what is wrong and a last line with the counts; exit 1 if any.
#
#   1. Arrows point down: each target of Sources imports only what the table below allows it.
#   2. One importer for each C module.
#   3. What is generated or local is not tracked: Package.resolved, .build, versions, current.
#   4. Tests use `package` access, no @testable (tools/test builds without testable imports).
#   5. No placeholder, no `try!` or `as!` in Sources.
#   6. docs/protocol.md and docs/settings.md are what `annctl protocol-docs` and `settings-docs` print (when ANNCTL names an
#      annctl).
#   7. Faults that simulations plant stand around the product, in Tests: Sources name none.
#   8. README has at most 200 lines, none over 140 characters; links in README and docs lead to files of the tree.
#   9. Every target of Package.swift stands in docs/architecture.md.
#  10. Client tests wait for conditions: time.sleep stands in Tests/Clients/annex.py only, behind names that say why.
#  11. No circle of files inside a target, no folder with more than 20 files (tools/circles.py); nothing that Sources declare
#      and never use (tools/unused.py).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wrong=0
checks=0
complain() {
    printf 'soundness: %s\n' "$*"
    wrong=$((wrong + 1))
}

# --- 1. Arrows -------------------------------------------------------------------------------------------------------
# target: what it may import. `system` stands for the modules of the toolchain; an asterisk for a family by prefix.

system="Swift Glibc Musl Foundation FoundationEssentials Synchronization Dispatch"
declare -A allowed=(
    [AnnexCore]="Glibc Synchronization"
    [AnnexIndex]="AnnexCore CFaissShim CAnnexKernels $system"
    [AnnexStore]="AnnexCore CLMDB CChecksum $system"
    [AnnexFormats]="AnnexCore CZlib $system"
    [AnnexLinearAlgebra]="AnnexCore COpenBLAS $system"
    [AnnexWire]="AnnexCore NIOCore $system"
    [AnnexBuild]="AnnexCore AnnexIndex AnnexStore AnnexFormats AnnexLinearAlgebra Yams Crypto Logging $system"
    [AnnexEngine]="AnnexCore AnnexIndex AnnexStore AnnexLinearAlgebra Crypto Logging $system"
    [AnnexTraining]="AnnexCore AnnexFormats AnnexLinearAlgebra $system"
    [AnnexServer]="AnnexCore AnnexWire CMalloc NIO* ServiceLifecycle Logging Crypto $system"
    [AnnexClient]="AnnexCore AnnexWire NIOCore NIOPosix Logging $system"
    [AnnexShard]="AnnexCore AnnexWire AnnexEngine Logging $system"
    [AnnexRouter]="AnnexCore AnnexWire AnnexClient NIO* Logging $system"
    [AnnexLog]="AnnexCore AnnexWire AnnexStore AnnexEngine AnnexClient NIOCore Logging $system"
    [AnnexTools]="AnnexCore AnnexWire AnnexClient NIOCore NIOPosix Crypto Histogram $system"
    [AnnexNode]="AnnexCore AnnexBuild AnnexClient AnnexEngine AnnexStore AnnexLog AnnexShard AnnexRouter AnnexServer AnnexWire CResolv NIO* Logging Yams $system"
    [annctl]="Annex* CBusError ArgumentParser ServiceLifecycle Logging NIO* UnixSignals $system"
)

# imports_of FOLDER: "module file:line" for each import of its Swift files, whatever attributes, access and kind it has.
# shellcheck disable=SC2016 # the program is awk's
imports_of() {
    find "$1" -name '*.swift' -print0 | xargs -0 -r awk '
        /^[[:space:]]*(@[A-Za-z_]+(\([^)]*\))?[[:space:]]+)*((public|package|internal|fileprivate|private)[[:space:]]+)?import[[:space:]]/ {
            line = $0
            sub(/^.*import[[:space:]]+/, "", line)
            sub(/^(struct|class|enum|protocol|typealias|func|let|var)[[:space:]]+/, "", line)
            sub(/[^A-Za-z0-9_].*$/, "", line)
            print line, FILENAME ":" FNR
        }'
}

permits() { # TARGET MODULE
    local pattern
    for pattern in ${allowed[$1]}; do
        # shellcheck disable=SC2053 # the right side is a pattern on purpose
        [[ $2 == $pattern ]] && return 0
    done
    return 1
}

declare -A importers=()
for folder in Sources/*/; do
    target=$(basename "$folder")
    imports=$(imports_of "$folder")
    [[ -n $(find "$folder" -name '*.swift' -print -quit) ]] || continue # native code
    if [[ -z ${allowed[$target]+known} ]]; then
        complain "Sources/$target is not in the table of tools/soundness.sh: say there what it may import"
        continue
    fi
    while read -r module place; do
        [[ -n $module ]] || continue
        checks=$((checks + 1))
        permits "$target" "$module" || complain "$place: $target may not import $module"
        if [[ -d Sources/$module && $module == C[A-Z]* ]]; then
            [[ " ${importers[$module]:-} " == *" $target "* ]] || importers[$module]="${importers[$module]:-} $target"
        fi
    done <<<"$imports"
done

# --- 2. One importer for each C module -------------------------------------------------------------------------------

for folder in Sources/C[A-Z]*/; do
    [[ -d $folder ]] || continue
    module=$(basename "$folder")
    read -r -a found <<<"${importers[$module]:-}"
    checks=$((checks + 1))
    ((${#found[@]} <= 1)) || complain "$module has ${#found[@]} importers: ${found[*]}"
done

# --- 3. Not tracked --------------------------------------------------------------------------------------------------

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    checks=$((checks + 1))
    tracked=$(git ls-files | grep -E '(^|/)Package\.resolved$|(^|/)\.build|^indexes/[^/]*/(versions/|current$)|__pycache__|\.lmdb-lock$' || true)
    [[ -z $tracked ]] || complain "tracked, but generated or local: $(tr '\n' ' ' <<<"$tracked")"
fi

# --- 4 and 5. Words --------------------------------------------------------------------------------------------------

# forbid PATTERN WHAT FOLDER…
forbid() {
    local pattern=$1 what=$2 hits
    shift 2
    checks=$((checks + 1))
    hits=$(grep -rnE --include='*.swift' --include='*.c' --include='*.cpp' --include='*.h' "$pattern" "$@" || true)
    [[ -z $hits ]] || while read -r hit; do complain "$what: ${hit:0:160}"; done <<<"$hits"
}
forbid '^[[:space:]]*@testable' '@testable' Tests
forbid '\b(TODO|FIXME|XXX)\b' 'a placeholder' Sources Tests
forbid '\b(try|as)![[:space:]]' 'a forced try or cast' Sources
# An argument may have a megabyte: Request.name and Request.text say how much of it is read.
forbid 'withArgument\(.*String\((decoding|validating)|bytesOf\(.*String\(' 'a text of an argument without a limit' Sources

# --- 10. Sleeps ------------------------------------------------------------------------------------------------------

checks=$((checks + 1))
sleeps=$(grep -rn --include='*.py' 'time\.sleep' Tests/Clients | grep -v '^Tests/Clients/annex\.py:' || true)
[[ -z $sleeps ]] || while read -r hit; do complain "a sleep (see wait_until in annex.py): ${hit:0:160}"; done <<<"$sleeps"

# --- 7. Planted faults -----------------------------------------------------------------------------------------------

# Their names are those that the simulations' enums have.
mapfile -t flaws < <(find Tests -name '*Flaw*.swift' -o -name '*Flawed*.swift' | xargs -r sed -nE 's/^    case ([A-Za-z]+)$/\1/p' | sort -u)
checks=$((checks + 1))
((${#flaws[@]} >= 9)) || complain "${#flaws[@]} planted faults were found in Tests, fewer than there are"
forbid "\\b([A-Z][A-Za-z]*(Fault|Flaw)|$(IFS='|'; printf '%s' "${flaws[*]}"))\\b" 'a planted fault' Sources

# --- 8 and 9. Documents ----------------------------------------------------------------------------------------------

checks=$((checks + 1))
(($(wc -l <README.md) <= 200)) || complain "README.md has $(wc -l <README.md) lines; 200 are allowed"
checks=$((checks + 1))
long=$(LC_ALL=C.UTF-8 awk 'length($0) > 140 { print FILENAME ":" FNR }' README.md)
[[ -z $long ]] || complain "README.md has lines over 140 characters: $(tr '\n' ' ' <<<"$long")"
for page in README.md CONTRIBUTING.md docs/*.md deploy/README.md; do
    while read -r target; do
        [[ -n $target ]] || continue
        checks=$((checks + 1))
        [[ -e $(dirname "$page")/${target%%#*} ]] || complain "$page: the link '$target' leads nowhere"
    done < <(grep -oE '\]\([^)#:][^):]*\)' "$page" | sed -E 's/^\]\(//; s/\)$//')
done
while read -r target; do
    checks=$((checks + 1))
    grep -q "\`$target\`" docs/architecture.md || complain "docs/architecture.md does not mention the target $target"
done < <(find Sources -mindepth 1 -maxdepth 1 -type d -printf '%f\n')

# --- 11. Circles, folders, and what nobody uses ------------------------------------------------------------------------

for finder in circles unused; do
    checks=$((checks + 1))
    if ! found=$(python3 "tools/$finder.py"); then
        while read -r line; do complain "$line"; done < <(head -n -1 <<<"$found")
    fi
done

# --- 6. Generated docs -----------------------------------------------------------------------------------------------

if [[ -n ${ANNCTL:-} ]]; then
    for page in protocol settings; do
        checks=$((checks + 1))
        if ! difference=$("$ANNCTL" "$page-docs" | diff - "docs/$page.md" 2>&1); then
            complain "docs/$page.md is not what its table says; run: $ANNCTL $page-docs > docs/$page.md"
            head -n 20 <<<"$difference"
        fi
    done
fi

printf 'soundness: %d checks, %d wrong\n' "$checks" "$wrong"
((wrong == 0))
