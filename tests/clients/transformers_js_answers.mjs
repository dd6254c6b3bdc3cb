// What transformers.js writes, in Node and in a page alike.

// Each of `requests` names a folder and a dtype ("" leaves the choice to transformers.js), a limit of new
// tokens, and either `prompts`, to be padded on the left by its own pipeline, or `batch`, rows of token ids.
// The answers hold `texts` or `ids`, and the milliseconds that they took, the loading of a new model included.
export async function answers(transformers, requests) {
  const found = [];
  const loaded = {};
  for (const { folder, dtype, limit, prompts, batch } of requests) {
    const started = performance.now();
    const options = dtype ? { dtype } : {};
    const key = `${folder} ${dtype}`;
    loaded[key] ??= await transformers.pipeline("text-generation", folder, options);
    const answer = prompts
      ? { texts: await texts(loaded[key], prompts, limit) }
      : { ids: await ids(transformers.Tensor, loaded[key].model, batch, limit) };
    found.push({ ...answer, milliseconds: performance.now() - started });
  }
  return found;
}

async function texts(generator, prompts, limit) {
  const written = await generator(prompts, { max_new_tokens: limit, do_sample: false, return_full_text: false });
  return written.map(([{ generated_text: text }]) => text);
}

async function ids(Tensor, model, batch, limit) {
  const width = Math.max(...batch.map((row) => row.length));
  const padded = (rows, filler) => {
    const wide = rows.map((row) => [...Array(width - row.length).fill(filler), ...row].map(BigInt));
    return new Tensor("int64", BigInt64Array.from(wide.flat()), [rows.length, width]);
  };
  const written = await model.generate({
    inputs: padded(batch, model.generation_config.pad_token_id),
    attention_mask: padded(batch.map((row) => row.map(() => 1)), 0),
    max_new_tokens: limit,
    do_sample: false,
  });
  return written.tolist().map((row) => row.slice(width).map(Number));
}
