autocmd BufNewFile,BufRead *.mfs setfiletype mfs
