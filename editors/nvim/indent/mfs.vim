" Specs of mfc: what stands in brackets is four columns further in than the line that they are opened on.
if exists('b:did_indent')
  finish
endif
let b:did_indent = 1

setlocal autoindent indentexpr=GetMfsIndent() indentkeys=0},0),0],!^F,o,O
let b:undo_indent = 'setlocal autoindent< indentexpr< indentkeys<'

if exists('*GetMfsIndent')
  finish
endif

let s:skipped = 'synIDattr(synID(line("."), col("."), 1), "name")'
      \ . ' =~# "^mfs\\%(Comment\\|Documentation\\|String\\|Raw\\|File\\|Placeholder\\)$"'

function! GetMfsIndent() abort
  call cursor(v:lnum, 1)
  let declaration = search('^\h', 'bnW')
  let opened = searchpair('[([{]', '', '[)\]}]', 'bnW', s:skipped, declaration)
  if opened < 1
    return 0
  endif
  let closed = getline(v:lnum) =~# '^\s*[)\]}]'
  return indent(opened) + (closed ? 0 : shiftwidth())
endfunction
