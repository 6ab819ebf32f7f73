/**
 * Scripts by which a shell completes: each hands the words to `onefold completion words --` and shows what comes back, a line
 * `WORD<TAB>HELP` for each candidate and then `:files`, `:folders` or `:none`.
 */

const bash = `# bash completion for onefold: source <(onefold completion bash)

# Words are cut at blanks alone: bash itself would cut names of images at their colons.
_onefold() {
  local line=\${COMP_LINE:0:COMP_POINT} current word help
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=\${words[-1]}
  COMPREPLY=()
  while IFS=$'\\t' read -r word help; do
    case $word in
      :files) compopt -o filenames; mapfile -t -O \${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "\${current##*[:=]}") ;;
      :folders) compopt -o filenames; mapfile -t -O \${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "\${current##*[:=]}") ;;
      :none) ;;
      *)
        # What stands before the last colon or equals sign is there already, for bash.
        [[ $current == *[:=]* && $COMP_WORDBREAKS == *:* ]] && word=\${word#"\${current%"\${current##*[:=]}"}"}
        printf -v word %q "$word"
        [[ $word == *[:=/] ]] && compopt -o nospace
        COMPREPLY+=("$word")
        ;;
    esac
  done < <("\${words[0]}" completion words -- "\${words[@]:1}" 2>/dev/null)
} 2>/dev/null

complete -F _onefold onefold
`

const zsh = `#compdef onefold
# zsh completion for onefold: in a file _onefold of $fpath, or source <(onefold completion zsh)

_onefold() {
  local line
  local -a lines found shown
  lines=("\${(@f)$("\${words[1]}" completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $lines; do
    [[ $line == :(files|folders|none) ]] && continue
    found+=("\${line%%$'\\t'*}")
    shown+=("\${line/$'\\t'/  -- }")
  done
  (( $#found )) && compadd -l -d shown -a found
  case \${lines[-1]} in
    :files) compset -P '*[:=]'; _files ;;
    :folders) compset -P '*[:=]'; _files -/ ;;
  esac
}

if [[ $funcstack[1] == _onefold ]]; then _onefold "$@"; else compdef _onefold onefold; fi
`

const fish = `# fish completion for onefold: onefold completion fish | source

function __onefold_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  for line in ($words[1] completion words -- $words[2..] $current 2>/dev/null)
    switch $line
      case ':files'
        __fish_complete_path $current
      case ':folders'
        __fish_complete_directories $current ''
      case ':none'
      case '*'
        echo $line
    end
  end
end

complete -c onefold -f -a '(__onefold_complete)'
`

export const scripts = { bash, zsh, fish } as const
