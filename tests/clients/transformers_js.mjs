// node transformers_js.mjs ENVIRONMENT FOLDER: a JSON list of texts in, what transformers.js makes of them out.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname } from "node:path";

const [environment, folder] = process.argv.slice(2);
const { AutoTokenizer, env } = createRequire(`${environment}/`)("@huggingface/transformers");
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);

const tokenizer = await AutoTokenizer.from_pretrained(basename(folder));
const ids = JSON.parse(readFileSync(0, "utf-8")).map((text) => tokenizer.encode(text));
const options = { skip_special_tokens: true, clean_up_tokenization_spaces: false };
const texts = ids.map((row) => tokenizer.decode(row, options));
process.stdout.write(JSON.stringify({ version: env.version, class: tokenizer.constructor.name, ids, texts }));
