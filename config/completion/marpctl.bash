# Completion of marpctl for bash: /usr/share/bash-completion/completions/marpctl, or `. marpctl.bash` in a checkout.
# marpctl itself knows what can follow; addresses and interfaces are those of the running daemon.
_marpctl() {
  # Bash splits words at ":", and a MAC has five of them.
  local current words prefix
  words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n := -c current -w words
    words=("${words[@]:1}")
  fi
  current=${words[-1]}
  mapfile -t COMPREPLY < <(marpctl __complete "${words[@]}" 2>/dev/null)
  if [[ $current == *:* ]] && declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions "$current"
  fi
}
complete -F _marpctl marpctl
