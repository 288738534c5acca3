# Completion of marpctl for fish: /usr/share/fish/vendor_completions.d.
function __marpctl
    set -l words (commandline -opc) (commandline -ct)
    marpctl __complete $words[2..-1] 2>/dev/null
end
complete -c marpctl -f -a '(__marpctl)'
