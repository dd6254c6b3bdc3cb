// node transformers_js_node.mjs ENVIRONMENT FOLDER: requests for models in the folder in, answers out, as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { answers } from "./transformers_js_answers.mjs";

const [environment, folder] = process.argv.slice(2);
const transformers = createRequire(`${environment}/`)("@huggingface/transformers");
const { env } = transformers;
env.allowRemoteModels = false;
env.localModelPath = folder;

const found = await answers(transformers, JSON.parse(readFileSync(0, "utf-8")));
process.stdout.write(JSON.stringify({ version: env.version, runtime: env.backends.onnx.versions.node, found }));
