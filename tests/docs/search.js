// Asks the search of the site: node search.js SITE < queries, a line each; prints the places that are found, page by page, as JSON.
const fs = require("fs"), path = require("path"), vm = require("vm")

const site = process.argv[2]
const workers = path.join(site, "assets", "javascripts", "workers")
const script = fs.readdirSync(workers).find(name => /^search\..*\.js$/.test(name))
const index = JSON.parse(fs.readFileSync(path.join(site, "search", "search_index.json"), "utf8"))

let hear, answered  // what the worker does with a message, and what is waiting for its answer
const worker = {
  console, performance, setTimeout, URL, location: { href: "http://localhost/" },
  addEventListener: (_, listener) => { hear = listener },
  postMessage: message => answered(message),
}
worker.self = worker.window = worker.globalThis = worker
vm.createContext(worker)
vm.runInContext(fs.readFileSync(path.join(workers, script), "utf8"), worker)
const ask = data => new Promise(resolve => { answered = resolve; hear({ data }) })

async function main() {
  await ask({ type: 0, data: { config: index.config, docs: index.docs, options: { suggest: true } } })
  const found = {}
  for (const query of fs.readFileSync(0, "utf8").trim().split("\n")) {
    const answer = await ask({ type: 2, data: query })
    found[query] = answer.data.items.map(page => page.map(section => section.location))
  }
  console.log(JSON.stringify(found))
}
main()
