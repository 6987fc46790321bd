# bash completion for addonfs

_addonfs_options='rev= layout= recipe= version= license=no upload=prefixed view= lfs=pointer problems=skip level=
    cache= cache_size= watch=poll allow_other noexec uid= gid= umask= ro nosuid nodev'

# What may stand behind the `=` of an option.
_addonfs_values() {
    case $1 in
    --format) echo 'folder zip tar tar.gz tar.xz tar.zst' ;;
    --view | view) echo 'package upload client' ;;
    layout) echo 'a b c d' ;;
    version) echo git ;;
    license) echo no ;;
    upload) echo prefixed ;;
    lfs) echo pointer ;;
    problems) echo skip ;;
    level) echo '1 2 3 4 5 6 7 8 9 10 11 12' ;;
    watch) echo poll ;;
    cache) echo none ;;
    esac
}

_addonfs() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} flags values
    COMPREPLY=()
    # bash takes `=` for a word of its own.
    if [ "$COMP_CWORD" -ge 2 ] && [ "$word" = = ]; then
        values=$(_addonfs_values "${before##*,}") word=
    elif [ "$COMP_CWORD" -ge 3 ] && [ "$before" = = ]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
        if [[ $word == *,* ]]; then
            before=-o # the next option
        else
            values=$(_addonfs_values "${before##*,}")
            [ -z "$word" ] || case ${before##*,} in
            cache) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
            recipe) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
            esac
        fi
    fi
    if [ -n "$values" ]; then
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$values" -- "$word")
    fi
    if [ -n "$values" ] || [ "${#COMPREPLY[@]}" -gt 0 ]; then
        return
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W \
            'mount umount status list diff verify cache export wait --help --version' -- "$word")
        return
    fi
    if [ "$before" = -o ]; then
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -P "${word%"${word##*,}"}" -W "$_addonfs_options" -- "${word##*,}")
        return
    fi
    case ${COMP_WORDS[1]} in
    mount) flags='-f --foreground --replace -o' ;;
    umount) flags='--lazy --timeout' ;;
    status) flags='--json --timeout' ;;
    list | diff | verify) flags='--json -o' ;;
    cache)
        flags='--json -o'
        [ "$COMP_CWORD" -eq 2 ] && flags='stats prune clear'
        ;;
    export) flags='--view=package --view=upload --view=client --format= -o' ;;
    wait) flags='--since --timeout' ;;
    esac
    if [[ $word == -* ]] || [ "${COMP_WORDS[1]}" = cache ]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -F _addonfs addonfs
