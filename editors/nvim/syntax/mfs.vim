" Specs of mfc. A name is coloured by what stands around it, as in the rules of mfc's other highlighters; with a Neovim
" that knows semantic tokens, the language server colours names by what they mean.
if exists('b:current_syntax')
  finish
endif
let s:cpo = &cpo
set cpo&vim

syntax case match

" A declaration at the start of a line ends all that is still open, as it does for the parser.
let s:declared = 'data\|tokenizer\|optimizer\|model\|train\|evaluate\|export'
let s:words = 'import\|use\|language\|param\|let\|block\|' . s:declared
let s:outside = '^\%(\%(import\|use\)\s*r\="\|language\s\+\d\|\%(param\|block\|' . s:declared . '\)\s\+\h\)\@='
let s:body_end = ' end="' . escape(s:outside, '"') . '" '
let s:end = s:body_end . 'end="^\%(let\s\+\h\)\@=" '

" ── expressions: of matches that start at one place, the last one counts ──────────────────────────────────────────

syntax cluster mfsExpression contains=mfsComment,mfsDocumentation,mfsString,mfsRaw,mfsNumber,mfsConstant,mfsControl,
      \mfsLogical,mfsTensor,mfsCalled,mfsAttribute,mfsMethod,mfsName,mfsArguments,mfsList,mfsOperator,mfsSeparator,mfsBracket

syntax match mfsSeparator "[,.:]"
syntax match mfsBracket "[)\]}]"
syntax match mfsOperator "[-+*/%<>=]\|[=!<>]=\|->\|\*\*\|//\|\.\."
syntax match mfsName "\<\h\w*\>"
syntax match mfsCalled "\<\h\w*\>\ze\s*("
syntax match mfsTensor "\<x\>"
syntax match mfsLogical "\<\%(and\|or\|not\)\>"
syntax match mfsControl "\<\%(if\|then\|else\|for\|in\)\>"
syntax match mfsConstant "\<\%(true\|false\|none\)\>"
syntax match mfsAttribute "\%(\.\@1<!\.\s*\)\@<=\<\h\w*\>"
syntax match mfsMethod "\%(\.\@1<!\.\s*\)\@<=\<\h\w*\>\ze\s*("
syntax match mfsNumber "\<\d\+\%(_\d\+\)*\%(\.\d\+\%(_\d\+\)*\)\=\%([eE][+-]\=\d\+\)\=\w\@!"
syntax match mfsComment "#.*"
syntax match mfsDocumentation "^##.*"
syntax region mfsString start=+"+ skip=+\\.+ end=+"\|$+ oneline contains=mfsEscape,mfsInvalid,mfsPlaceholder
syntax region mfsRaw start=+r"+ end=+"\|$+ oneline
syntax match mfsInvalid +\\.+ contained
syntax match mfsEscape +\\[nrt"\\]+ contained
syntax match mfsPlaceholder "{\h\w*}" contained
execute 'syntax region mfsArguments matchgroup=mfsBracket start="(" end=")"'
      \ . s:end . 'contains=@mfsExpression,mfsArgument'
execute 'syntax region mfsList matchgroup=mfsBracket start="\[" end="\]"'
      \ . s:end . 'contains=@mfsExpression'
syntax match mfsArgument "\<\h\w*\>\ze\s*==\@!" contained

" ── bodies ────────────────────────────────────────────────────────────────────────────────────────────────────────

execute 'syntax region mfsBody matchgroup=mfsBracket start="{" end="}"'
      \ . s:body_end . 'contains=@mfsExpression,mfsBody,mfsField,mfsLet,mfsPartWord,mfsModule'
syntax match mfsField "\<\h\w*\>\ze\s*==\@!" contained
syntax match mfsLet "\<let\ze\s\+\h" contained nextgroup=mfsValue skipwhite
syntax match mfsPartWord "\<\%(group\|phase\)\ze\s\+\h\w*\s*\%({\|#\|$\)" contained nextgroup=mfsPart skipwhite
syntax match mfsPart "\h\w*" contained
syntax match mfsModule "\%([=!<>]\@1<!=\s*\)\@<=\<\%(branch\|module\)\>\ze\s*{" contained

" ── declarations ──────────────────────────────────────────────────────────────────────────────────────────────────

syntax match mfsLet "\<let\ze\s\+\h" nextgroup=mfsValue skipwhite
syntax match mfsDeclaration "\<language\ze\s\+\d"
syntax match mfsDeclaration "\<param\ze\s\+\h" nextgroup=mfsValue skipwhite
syntax match mfsDeclaration "\<block\ze\s\+\h" nextgroup=mfsBlock skipwhite
execute 'syntax match mfsDeclaration "\<\%(' . s:declared . '\)\ze\s\+\h" nextgroup=mfsDeclared skipwhite'
execute 'syntax match mfsName "\%([=!<>]\@1<!=\s*\)\@<=\<\%(group\|phase\|' . s:words . '\)\ze\s\+\h"'
syntax match mfsValue "\h\w*" contained
syntax match mfsBlock "\h\w*" contained nextgroup=mfsParameters skipwhite
syntax match mfsDeclared "\h\w*" contained nextgroup=mfsParameters skipwhite

syntax match mfsImport +\<\%(import\|use\)\ze\s*r\="+ nextgroup=mfsFile skipwhite
syntax match mfsFile +r\="[^"]*"+ contained nextgroup=mfsImports skipwhite
execute 'syntax region mfsImports matchgroup=mfsBracket start="(" end=")" contained'
      \ . s:end . 'contains=mfsComment,mfsImported,mfsSeparator'
syntax match mfsImported "\<\h\w*\>" contained

execute 'syntax region mfsParameters matchgroup=mfsBracket start="(" end=")" contained'
      \ . s:end . 'contains=mfsComment,mfsParameter,mfsAnnotation,mfsDefault,mfsSeparator'
syntax match mfsParameter "\<\h\w*\>" contained
execute 'syntax region mfsAnnotation matchgroup=mfsSeparator start=":" matchgroup=NONE end="[=,)]\@=" contained'
      \ . s:end . 'contains=@mfsTypes'
execute 'syntax region mfsDefault matchgroup=mfsOperator start="==\@!" matchgroup=NONE end="[,)]\@=" contained'
      \ . s:end . 'contains=@mfsExpression'

" ── types, behind the colon of a declaration or of a parameter ────────────────────────────────────────────────────

syntax cluster mfsTypes contains=mfsComment,mfsType,mfsTypeOf,mfsTypeArguments,mfsArrow,mfsSeparator
execute 'syntax region mfsSignature matchgroup=mfsSeparator start=":" matchgroup=NONE end="[={}]\@=" end="\<in\>\@="'
      \ . ' end="\%(\<\%(' . s:words . '\)\s\+\h\)\@="'
      \ . s:body_end . 'contains=@mfsTypes'
syntax match mfsArrow "->" contained
syntax match mfsType "\<\h\w*\>" contained
syntax match mfsTypeOf "\<\h\w*\>\ze\s*(" contained nextgroup=mfsArguments skipwhite
syntax match mfsTypeOf "\<list\>\ze\s*(" contained nextgroup=mfsTypeArguments skipwhite
syntax match mfsTypeOf "\<choice\>\ze\s*(" contained nextgroup=mfsChoices skipwhite
execute 'syntax region mfsTypeArguments matchgroup=mfsBracket start="(" end=")" contained'
      \ . s:end . 'contains=@mfsTypes,mfsPartOfType'
syntax match mfsPartOfType "\<\h\w*\>\ze\s*:" contained
execute 'syntax region mfsChoices matchgroup=mfsBracket start="(" end=")" contained'
      \ . s:end . 'contains=@mfsExpression,mfsChoice'
syntax match mfsChoice "\<\%(true\>\|false\>\|none\>\)\@!\h\w*\>" contained

execute 'syntax sync match mfsOutside grouphere NONE "' . escape(s:outside, '"') . '"'
syntax sync maxlines=1000

" ── colours ───────────────────────────────────────────────────────────────────────────────────────────────────────

highlight default link mfsComment Comment
highlight default link mfsDocumentation SpecialComment
highlight default link mfsDeclaration Keyword
highlight default link mfsLet mfsDeclaration
highlight default link mfsPartWord mfsDeclaration
highlight default link mfsModule mfsDeclaration
highlight default link mfsImport Include
highlight default link mfsControl Conditional
highlight default link mfsLogical Operator
highlight default link mfsConstant Boolean
highlight default link mfsNumber Number
highlight default link mfsString String
highlight default link mfsRaw mfsString
highlight default link mfsFile mfsString
highlight default link mfsEscape SpecialChar
highlight default link mfsPlaceholder Special
highlight default link mfsInvalid Error
highlight default link mfsBlock Function
highlight default link mfsDeclared Structure
highlight default link mfsValue Constant
highlight default link mfsPart Label
highlight default link mfsParameter Identifier
highlight default link mfsType Type
highlight default link mfsTypeOf mfsType
highlight default link mfsChoice Constant
highlight default link mfsField Identifier
highlight default link mfsArgument Identifier
highlight default link mfsPartOfType mfsArgument
highlight default link mfsCalled Function
highlight default link mfsMethod mfsCalled
highlight default link mfsTensor Special
highlight default link mfsOperator Operator
highlight default link mfsArrow mfsOperator
highlight default link mfsSeparator Delimiter
highlight default link mfsBracket Delimiter

let b:current_syntax = 'mfs'
unlet s:declared s:words s:outside s:body_end s:end
let &cpo = s:cpo
unlet s:cpo
