# fish completion for addonfs

set -l commands mount umount status list diff verify cache export wait

function __addonfs_options
    # What comes before the last comma stays.
    set -l said (string match -r '^.*,' -- (commandline -ct))
    for option in rev= layout={a,b,c,d} recipe= version=git version= license=no upload=prefixed \
            view={package,upload,client} lfs=pointer problems=skip \
            level={1,2,3,4,5,6,7,8,9,10,11,12} cache=none cache= cache_size= watch=poll allow_other \
            noexec uid= gid= umask= ro nosuid nodev
        # Not $said$option, which is nothing where nothing was said.
        string join '' -- $said $option
    end
end

complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -f
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -s h -l help -d 'show how it is used'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -s V -l version -d 'show the version'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a mount -d 'show the package of a source'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a umount -d 'end a mount'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a status -d 'show what is mounted'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a list -d 'show the addons of a source'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a diff -d 'compare a package with its source'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a verify -d 'check a package'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a cache -d 'look at the cache, or empty it'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a export -d 'write a package without a mount'
complete -c addonfs -n "not __fish_seen_subcommand_from $commands" -a wait -d 'wait for a change'

complete -c addonfs -n '__fish_seen_subcommand_from mount list diff verify cache export' \
    -s o -x -a '(__addonfs_options)' -d options
complete -c addonfs -n '__fish_seen_subcommand_from mount' -s f -l foreground -d 'stay in the foreground'
complete -c addonfs -n '__fish_seen_subcommand_from mount' -l replace -d 'clear a dead mount first'
complete -c addonfs -n '__fish_seen_subcommand_from umount' -l lazy -d 'unmount although it is in use'
complete -c addonfs -n '__fish_seen_subcommand_from umount status wait' -l timeout -x -d seconds
complete -c addonfs -n '__fish_seen_subcommand_from status list diff verify cache' -l json -d 'as JSON'
complete -c addonfs -n '__fish_seen_subcommand_from cache' -f -a 'stats prune clear'
complete -c addonfs -n '__fish_seen_subcommand_from export' -l view -x -a 'package upload client' -d 'which tree'
complete -c addonfs -n '__fish_seen_subcommand_from export' -l format -x \
    -a 'folder zip tar tar.gz tar.xz tar.zst' -d 'how it is written'
complete -c addonfs -n '__fish_seen_subcommand_from wait' -l since -x -d generation
