--- The language server of mfc for specs, and commands that run them. `:help mfc` has the manual.

local M = {}

M.options = {
  --- The server, and the program before the word "lsp" for what runs specs.
  cmd = { "mfc", "lsp" },
  --- What the server can be told:
  --- `{ settings = { epochs = 3 }, allowOutside = "../shared", hints = { items = false } }`.
  settings = {},
  --- Files and folders that stand in the folder which the server is started in.
  root_markers = { ".git" },
  --- Called with the client and the buffer that it is attached to.
  on_attach = nil,
  --- What the client can do; plugins for completion say it.
  capabilities = nil,
  --- Whether `run` and `plan` stand above what can be run.
  code_lens = true,
  --- Whether shapes and names of arguments stand in the text, with a Neovim that can show them.
  inlay_hints = true,
}

local LONGEST = 10000 -- milliseconds in which the server should answer

local function warn(message)
  vim.notify("mfc: " .. message, vim.log.levels.WARN)
end

--- The folder around a file that has one of the marks, else its own.
local function root_of(file)
  local folder = vim.fn.fnamemodify(file, ":p:h")
  local here = folder
  while true do
    for _, mark in ipairs(M.options.root_markers) do
      if vim.loop.fs_stat(here .. "/" .. mark) then
        return here
      end
    end
    local above = vim.fn.fnamemodify(here, ":h")
    if above == here then
      return folder
    end
    here = above
  end
end

-- ── the server ──────────────────────────────────────────────────────────────────────────────────────────

local function show_lenses(bufnr)
  local group = vim.api.nvim_create_augroup("mfc_lenses_" .. bufnr, {})
  vim.api.nvim_create_autocmd({ "BufEnter", "InsertLeave", "BufWritePost" }, {
    group = group,
    buffer = bufnr,
    callback = function()
      vim.lsp.codelens.refresh()
    end,
  })
  vim.api.nvim_buf_call(bufnr, function()
    vim.lsp.codelens.refresh()
  end)
end

--- What `gq` calls in Neovim 0.7, whose own function leaves out the last line.
function M.formatexpr()
  if vim.fn.mode():find("^[iR]") then
    return 1 -- lines that get too long while they are typed stay
  end
  local params = vim.lsp.util.make_formatting_params()
  local first = vim.v.lnum - 1
  params.range = {
    start = { line = first, character = 0 },
    ["end"] = { line = first + vim.v.count, character = 0 },
  }
  local answers = vim.lsp.buf_request_sync(0, "textDocument/rangeFormatting", params, LONGEST)
  for id, answer in pairs(answers or {}) do
    if answer.result then
      vim.lsp.util.apply_text_edits(answer.result, 0, vim.lsp.get_client_by_id(id).offset_encoding)
    end
  end
  return 0
end

local function on_attach(client, bufnr)
  local functions = { omnifunc = "v:lua.vim.lsp.omnifunc", tagfunc = "v:lua.vim.lsp.tagfunc" }
  functions.formatexpr = "v:lua.require'mfc'.formatexpr()"
  for option, value in pairs(functions) do -- later Neovims do it themselves
    if vim.bo[bufnr][option] == "" then
      vim.bo[bufnr][option] = value
    end
  end
  local can = client.server_capabilities
  if M.options.code_lens and can.codeLensProvider then
    show_lenses(bufnr)
  end
  if M.options.inlay_hints and can.inlayHintProvider and type(vim.lsp.inlay_hint) == "table" then
    vim.lsp.inlay_hint.enable(true, { bufnr = bufnr })
  end
  if M.options.on_attach then
    M.options.on_attach(client, bufnr)
  end
end

local clients = {} -- the numbers of those that were started last, by their folders

--- Attaches a buffer to the server of its folder, which is started with the first one.
local function attach(bufnr)
  local file = vim.api.nvim_buf_get_name(bufnr)
  local program = M.options.cmd[1]
  if vim.fn.executable(program) == 0 then
    warn(("there is no program `%s`: run `pip install mfc`, or say `cmd` in setup"):format(program))
    return
  end
  local root = root_of(file)
  local config = {
    name = "mfc",
    cmd = M.options.cmd,
    root_dir = root,
    capabilities = M.options.capabilities,
    init_options = M.options.settings,
    settings = { mfc = M.options.settings },
    on_attach = on_attach,
  }
  if vim.lsp.start then
    clients[root] = vim.lsp.start(config, { bufnr = bufnr })
    return
  end
  config.on_exit = function()
    clients[root] = nil
  end
  clients[root] = clients[root] or vim.lsp.start_client(config)
  if clients[root] then
    vim.lsp.buf_attach_client(bufnr, clients[root])
  end
end

-- ── running ─────────────────────────────────────────────────────────────────────────────────────────────

--- The server of a folder, once it has started; nothing where none runs.
local function server_of(root)
  local client
  vim.wait(LONGEST, function()
    client = clients[root] and vim.lsp.get_client_by_id(clients[root])
    return not client or client.initialized
  end, 20)
  return client
end

--- The options that mean what the server's settings do to a file, none without a server; nothing where it fails.
local function options_of(file, root)
  local client = server_of(root)
  if not client then
    return {}
  end
  local params = { command = "mfc.options", arguments = { vim.uri_from_fname(file) } }
  local asked = { "workspace/executeCommand", params, LONGEST, vim.api.nvim_get_current_buf() }
  if vim.fn.has("nvim-0.11") == 1 then
    table.insert(asked, 1, client) -- it is a method there
  end
  local answer, problem = client.request_sync(unpack(asked))
  if answer and answer.result then
    return answer.result
  end
  local reason = problem or answer and answer.err and answer.err.message or "no answer"
  warn("nothing is run, since the server does not say with which settings: " .. reason)
end

--- `mfc run FILE --target NAME` in a terminal below, from the folder of the server and with its settings;
--- `verb` may also be "plan".
function M.execute(verb, file, target)
  local bufnr = vim.fn.bufnr(file)
  if bufnr ~= -1 and vim.bo[bufnr].modified then
    vim.api.nvim_buf_call(bufnr, function()
      vim.cmd("update")
    end)
  end
  local root = root_of(file)
  local options = options_of(file, root)
  if not options then
    return
  end
  local words = {}
  for _, word in ipairs(M.options.cmd) do
    if word == "lsp" then
      break
    end
    table.insert(words, word)
  end
  vim.list_extend(words, { verb, file })
  vim.list_extend(words, options)
  if target then
    vim.list_extend(words, { "--target", target })
  end
  vim.cmd("botright new")
  local where = { cwd = root }
  if vim.fn.has("nvim-0.11") == 1 then
    where.term = true
    vim.fn.jobstart(words, where)
  else
    vim.fn.termopen(words, where)
  end
end

--- What a code lens asks for: its arguments are the address of a spec and the name of a declaration in it.
local function of_lens(verb)
  return function(command)
    local uri, target = unpack(command.arguments or {})
    M.execute(verb, uri and vim.uri_to_fname(uri) or vim.api.nvim_buf_get_name(0), target)
  end
end

--- The names that lenses of a buffer run.
local function targets(bufnr, start)
  local names = {}
  for _, lens in ipairs(vim.lsp.codelens.get(bufnr)) do
    local name = lens.command and (lens.command.arguments or {})[2]
    if name and vim.startswith(name, start) and not vim.tbl_contains(names, name) then
      table.insert(names, name)
    end
  end
  return names
end

local function add_command(bufnr, name, verb)
  vim.api.nvim_buf_create_user_command(bufnr, name, function(given)
    M.execute(verb, vim.api.nvim_buf_get_name(bufnr), given.args ~= "" and given.args or nil)
  end, {
    nargs = "?",
    desc = "mfc " .. verb .. " of this spec, or of one declaration in it",
    complete = function(start)
      return targets(bufnr, start)
    end,
  })
end

-- ── set-up ──────────────────────────────────────────────────────────────────────────────────────────────

--- Starts the server with the first spec that is opened, and gives buffers of specs their commands.
function M.setup(options)
  M.options = vim.tbl_extend("force", M.options, options or {})
  vim.lsp.commands["mfc.run"] = of_lens("run")
  vim.lsp.commands["mfc.plan"] = of_lens("plan")
  local function begin(bufnr)
    add_command(bufnr, "MfcRun", "run")
    add_command(bufnr, "MfcPlan", "plan")
    attach(bufnr)
  end
  vim.api.nvim_create_autocmd("FileType", {
    group = vim.api.nvim_create_augroup("mfc", {}),
    pattern = "mfs",
    callback = function(event)
      begin(event.buf)
    end,
  })
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(bufnr) and vim.bo[bufnr].filetype == "mfs" then
      begin(bufnr)
    end
  end
end

return M
