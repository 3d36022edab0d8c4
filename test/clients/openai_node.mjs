// The official openai package of npm, unchanged, against the real model. PENSTOCK_URL: where it is served; prints `N passed, N failed`.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.PENSTOCK_URL}/v1`, apiKey: "none", maxRetries: 0, timeout: 60000 });
const ask = [{ role: "user", content: "What is the capital of France?" }];
const weather = { type: "function", function: { name: "get_weather", description: "Weather of a city",
	parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } } };
const person = { type: "json_schema", json_schema: { name: "person", schema: { type: "object",
	properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer" } }, required: ["name", "age"] } } };
// llama-server leaves out what the schema requires, and does not keep to tool_choice.
const isOurs = process.env.PENSTOCK_BEHIND !== "llama-server";
const calm = isOurs ? {} : { temperature: 0 };
let passed = 0;
let failed = 0;

function check(what, isTrue, detail) {
	isTrue ? passed++ : failed++;
	console.log(`${isTrue ? "ok   " : "FAIL "} ${what}`, isTrue ? "" : JSON.stringify(detail));
}

async function whole() {
	const answer = await client.chat.completions.create({ model: "assistant", messages: ask, max_tokens: 20, ...calm });
	check("a whole answer names Paris", answer.choices[0].message.content.includes("Paris"), answer);
	if (isOurs) check("refusal and logprobs are null, not absent", answer.choices[0].message.refusal === null && answer.choices[0].logprobs === null);
}

async function streamed() {
	const stream = await client.chat.completions.create({ model: "assistant", messages: ask, max_tokens: 20, stream: true, ...calm,
		stream_options: { include_usage: true } });
	let text = "";
	let usage = null;
	for await (const chunk of stream) {
		text += chunk.choices[0]?.delta.content ?? "";
		usage = chunk.usage ?? usage;
	}
	check("a stream names Paris", text.includes("Paris"), text);
	check("usage arrives", usage?.completion_tokens > 0, usage);
	const helper = client.chat.completions.stream({ model: "assistant", messages: ask, max_tokens: 20, ...calm });
	check("the stream helper assembles it", (await helper.finalContent()).includes("Paris"));
}

async function tools() {
	const runner = client.chat.completions.stream({ model: "assistant", messages: [{ role: "user", content: "Weather in Paris?" }],
		tools: [weather], tool_choice: { type: "function", function: { name: "get_weather" } }, parallel_tool_calls: false, temperature: 0,
		max_tokens: 80 });
	const message = await runner.finalMessage();
	const call = message.tool_calls?.[0];
	check("a streamed tool call is assembled", call?.function.name === "get_weather" && "city" in JSON.parse(call.function.arguments), message);
	check("and it is one", message.tool_calls?.length === 1, message);
}

async function schema() {
	const answer = await client.chat.completions.create({ model: "assistant", messages: [{ role: "user", content: "Invent a person." }],
		response_format: person, max_tokens: 80 });
	const value = JSON.parse(answer.choices[0].message.content);
	check("a JSON schema is kept", typeof value.name === "string" && Number.isInteger(value.age), value);
}

async function errors() {
	const error = await client.chat.completions.create({ model: "nope", messages: ask }).catch((caught) => caught);
	check("an unknown model is a NotFoundError", error instanceof OpenAI.NotFoundError && error.param === "model", error);
	const abort = new AbortController();
	const stream = await client.chat.completions.create({ model: "assistant", messages: ask, max_tokens: 400, stream: true,
		logit_bias: { 0: -100, 2: -100 } }, { signal: abort.signal });
	let chunks = 0;
	let finished = false;
	for await (const chunk of stream) {
		finished ||= chunk.choices[0]?.finish_reason != null;
		if (++chunks === 2) abort.abort();
	}
	check("a stream that is left ends there, unfinished", chunks >= 2 && chunks < 50 && !finished, { chunks, finished });
	const models = await client.models.list();
	check("models are listed", models.data[0].id === "assistant", models);
}

for (const part of isOurs ? [whole, streamed, tools, schema, errors] : [whole, streamed, schema, errors]) {
	try {
		await part();
	} catch (error) {
		check(part.name, false, String(error));
	}
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
