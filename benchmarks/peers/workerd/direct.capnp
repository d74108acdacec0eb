using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "bench", worker = .bench)],
  sockets = [(name = "http", http = (), service = "bench")]
);

const bench :Workerd.Worker = (
  modules = [(name = "bench.mjs", esModule = embed "bench.mjs")],
  compatibilityDate = "2026-01-01",
);
