using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "router", worker = .router), (name = "bench", worker = .bench), (name = "other", worker = .other)],
  sockets = [(name = "http", http = (), service = "router")]
);

const router :Workerd.Worker = (
  modules = [(name = "router.mjs", esModule = embed "router.mjs")],
  bindings = [(name = "bench", service = "bench"), (name = "other", service = "other")],
  compatibilityDate = "2026-01-01",
);

const bench :Workerd.Worker = (
  modules = [(name = "bench.mjs", esModule = embed "bench.mjs")],
  compatibilityDate = "2026-01-01",
);

const other :Workerd.Worker = (
  modules = [(name = "other.mjs", esModule = embed "other.mjs")],
  compatibilityDate = "2026-01-01",
);
