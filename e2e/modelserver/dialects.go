package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Anthropic: POST /v1/messages. The tool call's arguments come as a stream of JSON fragments.

func readAnthropic(b doc) asked {
	q := asked{tools: map[string]doc{}}
	for _, t := range b.each("tools") {
		q.tools[t.str("name")] = t.sub("input_schema")
	}
	for _, m := range b.each("messages") {
		for _, c := range m.each("content") {
			if c.str("type") == "tool_result" {
				q.result = plain(c["content"])
			}
		}
	}
	return q
}

func writeAnthropic(a *answer) {
	open, delta := doc{"type": "text", "text": ""}, doc{"type": "text_delta", "text": a.text}
	whole, why := doc{"type": "text", "text": a.text}, "end_turn"
	if a.tool != "" {
		open = doc{"type": "tool_use", "id": "toolu_e2e", "name": a.tool, "input": doc{}}
		delta = doc{"type": "input_json_delta", "partial_json": a.args}
		whole, why = doc{"type": "tool_use", "id": "toolu_e2e", "name": a.tool, "input": json.RawMessage(a.args)}, "tool_use"
	}
	msg := doc{"id": "msg_e2e", "type": "message", "role": "assistant", "model": a.request["model"], "stop_reason": nil, "stop_sequence": nil,
		"content": []any{}, "usage": doc{"input_tokens": 1, "output_tokens": 1}}
	if !a.stream {
		msg["content"], msg["stop_reason"] = []any{whole}, why
		sendJSON(a, msg)
		return
	}
	a.event("message_start", doc{"message": msg})
	a.event("content_block_start", doc{"index": 0, "content_block": open})
	a.event("content_block_delta", doc{"index": 0, "delta": delta})
	a.event("content_block_stop", doc{"index": 0})
	a.event("message_delta", doc{"delta": doc{"stop_reason": why, "stop_sequence": nil}, "usage": doc{"output_tokens": 1}})
	a.event("message_stop", doc{})
}

// OpenAI: POST /v1/responses. One output item, announced, filled and closed.

func readResponses(b doc) asked {
	q := asked{tools: map[string]doc{}}
	for _, t := range b.each("tools") {
		q.tools[t.str("name")] = t.sub("parameters")
	}
	for _, item := range b.each("input") {
		if strings.HasSuffix(item.str("type"), "_call_output") {
			q.result = plain(item["output"])
		}
	}
	return q
}

func writeResponses(a *answer) {
	item := func(status string, full bool) doc {
		if a.tool == "" {
			content := []any{}
			if full {
				content = append(content, doc{"type": "output_text", "text": a.text, "annotations": []any{}})
			}
			return doc{"type": "message", "id": "msg_e2e", "role": "assistant", "status": status, "content": content}
		}
		args := ""
		if full {
			args = a.args
		}
		return doc{"type": "function_call", "id": "fc_e2e", "call_id": "call_e2e", "name": a.tool, "status": status, "arguments": args}
	}
	resp := func(status string, out ...any) doc {
		return doc{"id": "resp_e2e", "object": "response", "created_at": 1, "model": a.request["model"], "status": status, "output": out,
			"usage": doc{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "input_tokens_details": doc{"cached_tokens": 0}, "output_tokens_details": doc{"reasoning_tokens": 0}}}
	}
	if !a.stream {
		sendJSON(a, resp("completed", item("completed", true)))
		return
	}
	n := 0
	event := func(name string, v doc) {
		v["sequence_number"] = n
		n++
		a.event(name, v)
	}
	event("response.created", doc{"response": resp("in_progress", []any{}...)})
	event("response.output_item.added", doc{"output_index": 0, "item": item("in_progress", false)})
	if a.tool != "" {
		event("response.function_call_arguments.delta", doc{"item_id": "fc_e2e", "output_index": 0, "delta": a.args})
		event("response.function_call_arguments.done", doc{"item_id": "fc_e2e", "output_index": 0, "arguments": a.args})
	} else {
		part := func(t string) doc {
			return doc{"item_id": "msg_e2e", "output_index": 0, "content_index": 0, "part": doc{"type": "output_text", "text": t, "annotations": []any{}}}
		}
		event("response.content_part.added", part(""))
		event("response.output_text.delta", doc{"item_id": "msg_e2e", "output_index": 0, "content_index": 0, "delta": a.text})
		event("response.output_text.done", doc{"item_id": "msg_e2e", "output_index": 0, "content_index": 0, "text": a.text})
		event("response.content_part.done", part(a.text))
	}
	event("response.output_item.done", doc{"output_index": 0, "item": item("completed", true)})
	event("response.completed", doc{"response": resp("completed", item("completed", true))})
}

// OpenAI: POST /v1/chat/completions. Unnamed events, and a last one that is no JSON.

func readChat(b doc) asked {
	q := asked{tools: map[string]doc{}}
	for _, t := range b.each("tools") {
		f := doc(t.sub("function"))
		q.tools[f.str("name")] = f.sub("parameters")
	}
	for _, m := range b.each("messages") {
		if m.str("role") == "tool" {
			q.result = plain(m["content"])
		}
	}
	return q
}

func writeChat(a *answer) {
	said, why := doc{"role": "assistant", "content": a.text}, "stop"
	if a.tool != "" {
		call := doc{"index": 0, "id": "call_e2e", "type": "function", "function": doc{"name": a.tool, "arguments": a.args}}
		said, why = doc{"role": "assistant", "content": nil, "tool_calls": []any{call}}, "tool_calls"
	}
	usage := doc{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
	reply := func(object string, choice doc) doc {
		choice["index"] = 0
		return doc{"id": "chatcmpl-e2e", "object": object, "created": 1, "model": a.request["model"], "choices": []any{choice}, "usage": usage}
	}
	if !a.stream {
		sendJSON(a, reply("chat.completion", doc{"message": said, "finish_reason": why}))
		return
	}
	a.event("", reply("chat.completion.chunk", doc{"delta": said, "finish_reason": nil}))
	a.event("", reply("chat.completion.chunk", doc{"delta": doc{}, "finish_reason": why}))
	fmt.Fprint(a, "data: [DONE]\n\n")
}

// Google: POST …/models/M:streamGenerateContent (or :generateContent). The whole answer in one piece.

func readGemini(b doc) asked {
	q := asked{tools: map[string]doc{}}
	for _, t := range b.each("tools") {
		for _, f := range append(t.each("functionDeclarations"), t.each("function_declarations")...) {
			schema := f.sub("parametersJsonSchema")
			if schema == nil {
				schema = f.sub("parameters")
			}
			q.tools[f.str("name")] = schema
		}
	}
	for _, c := range b.each("contents") {
		for _, part := range c.each("parts") {
			if r := part.sub("functionResponse"); r != nil {
				q.result = plain(r["response"])
			}
		}
	}
	return q
}

func writeGemini(a *answer) {
	part := doc{"text": a.text}
	if a.tool != "" {
		part = doc{"functionCall": doc{"name": a.tool, "args": json.RawMessage(a.args)}}
	}
	whole := doc{"modelVersion": "e2e", "usageMetadata": doc{"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
		"candidates": []any{doc{"index": 0, "finishReason": "STOP", "content": doc{"role": "model", "parts": []any{part}}}}}
	if a.stream {
		a.event("", whole)
		return
	}
	sendJSON(a, whole)
}
