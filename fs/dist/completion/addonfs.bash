# bash completion for addonfs

_addonfs_options='rev= layout= recipe= version= license=no upload=prefixed view= lfs=pointer problems=skip level=
    cache= cache_size= watch=poll allow_other noexec uid= gid= umask= ro nosuid nodev'

_addonfs() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} flags
    COMPREPLY=()
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
