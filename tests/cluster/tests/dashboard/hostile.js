// A node that says markup, code and addresses that are none, wherever it may say text.
(() => {
  const bad = "<img src=x onerror=spoil()>", script = "</script><script>window.spoilt = 3</script>";
  window.spoil = () => { window.spoilt = 4 };
  const node = (id, admin_url) => ({ id, incarnation: bad, status: "active", shards: 4, actors: 1, admin_url, commands_per_second: 1,
    weight: 2, zone: bad, tags: [bad], since_epoch: 1, trust: bad, view_epoch: 1, build: bad, heard_ms: 1 });
  const entry = (epoch) => ({ epoch, term: 1, leader: bad, cause: bad + script, unix_millis: 1, events: [
    { name: "NodeFailed", nodes: [bad], reason: bad }, { name: bad, nodes: [bad, script], shards: bad },
    { name: "constructor", nodes: [bad] }, { name: "ShardMigrated", nodes: [bad, "__proto__"], shards: "1,3" } ] });
  const shard = { epoch: 3, shard: 1, state: "draining", owner: bad, incarnation: bad, shard_epoch: 1, to: script, drain_epoch: 2 };
  const move = { shard: 1, drain_epoch: 2, from: bad, to: script, role: bad, phase: bad, reached: [{ phase: bad, at_ms: 1, after_us: 1 }], actors: 1, bytes: 1, retries: 0, listed: [] };
  const says = {
    "/v1/cluster": { namespace: bad, cluster_uid: bad, me: "", epoch: 3, term: 1, leader: bad, lease: null, order: { wish: bad, by: bad, why: script, since_epoch: 1 },
      nodes: [node(bad, "javascript:spoil()"), node("__proto__", "data:text/html,x"), node("b", "http://127.0.0.1:1/")], shards: { total: 16, assigned: 12, orphaned: 4, moving: 1 } },
    "/v1/health": { epoch: 3, verdict: "critical", reasons: [bad, script], nodes: [{ id: bad, verdict: bad }] },
    "/v1/moves": { epoch: 3, plan: { id: 1, cause: bad, planned: 2, moved: 1 }, draining: [{ shards: "1", from: bad, to: script }], pending: [{ shards: bad, from: bad, to: bad }], here: [move] },
    "/v1/shards": { epoch: 3, total: 16, owners: { [bad]: "0-3", b: "4-11" }, orphaned: "12-15", moving: "1" },
    "/v1/shards/1": shard, "/v1/shards/1/why": { epoch: 3, shard: 1, owner: bad, entries: [entry(1)], whole: false }, "/v1/moves/1": { epoch: 3, moves: [move] },
  };
  window.fetch = async (path) => new Response(JSON.stringify(says[path]), { headers: { etag: "W/\"3\"" } });
  window.EventSource = class extends EventTarget {
    static OPEN = 1; static CLOSED = 2; readyState = 1;
    constructor() { super(); setTimeout(() => { this.dispatchEvent(new Event("open"));
      for (const epoch of [1, 2, 3]) this.dispatchEvent(new MessageEvent("topology", { data: JSON.stringify(entry(epoch)) })) }, 50) }
    close() { this.readyState = 2 }
  };
})();
