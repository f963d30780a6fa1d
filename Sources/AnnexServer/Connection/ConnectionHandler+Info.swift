import AnnexCore
import AnnexWire
import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// Answers INFO with numbers of all loops, added up, and the sections that other parts of the server provide.
extension ConnectionHandler {
    func info() -> Disposition {
        do throws(ArgumentFailure) { try self.request.check("sections", from: 1, atMost: 32) } catch {
            self.reply.error(error)
            return .done
        }
        let wanted = (1..<max(self.request.count, 1)).map { self.request.name($0) ?? "" }
        let version = self.state.respVersion
        let shared = self.loop.shared
        let eventLoop = self.loop.eventLoop
        let future = self.loops.gather(on: eventLoop) { loop in loop.snapshot() }
            .flatMap { copies in
                shared.work.report(on: eventLoop) {
                    let sum = LoopMetrics.sum(copies, of: shared.table)
                    let text = InfoReport(shared: shared, metrics: sum).text(wanted)
                    return shared.rendered(version) { writer in writer.verbatim(text) }
                }
            }
        return self.later(future)
    }
}

/// Makes the text of INFO.
struct InfoReport {
    let shared: ServerShared
    let metrics: LoopMetrics

    /// These sections are shown only when they are asked for by name or by `all` or `everything`.
    private static let onRequest: Set<String> = ["commandstats", "latencystats"]

    func text(_ wanted: [String]) -> String {
        let everything = wanted.contains("all") || wanted.contains("everything")
        let standard = wanted.isEmpty || wanted.contains("default")
        let own = [
            self.server(), self.clients(), self.memory(), self.stats(), self.replication(), self.cluster(),
            self.keyspace(),
        ]
        let last = [self.commandStats(), self.errorStats(), self.latencyStats()]
        return (own + self.shared.info() + last).filter { section in
            let name = section.title.lowercased()
            return everything || wanted.contains(name) || (standard && !Self.onRequest.contains(name))
        }.map { section in
            "# \(section.title)\r\n" + section.lines.map { "\($0.name):\($0.value)\r\n" }.joined()
        }.joined(separator: "\r\n")
    }

    private var uptimeSeconds: Int64 { (NIODeadline.now() - self.shared.startedAt).nanoseconds / 1_000_000_000 }

    private func server() -> InfoSection {
        let configuration = self.shared.configuration
        return InfoSection(
            "Server",
            [
                ("server_name", "annex"), ("annex_version", configuration.version),
                ("redis_version", ServerConfiguration.redisVersion),
                ("redis_mode", self.shared.cluster != nil ? "cluster" : "standalone"),
                ("arch_bits", "64"),
                ("multiplexing_api", "epoll"), ("process_id", String(getpid())), ("run_id", self.shared.runID),
                ("tcp_port", String(self.shared.port)), ("server_time_usec", String(WallClock.microseconds())),
                ("uptime_in_seconds", String(self.uptimeSeconds)),
                ("uptime_in_days", String(self.uptimeSeconds / 86_400)), ("event_loops", String(configuration.threads)),
                ("deferred_threads", String(configuration.deferredThreads)),
            ]
        )
    }

    private func clients() -> InfoSection {
        InfoSection(
            "Clients",
            [
                ("connected_clients", String(self.metrics.connections)),
                ("maxclients", String(self.shared.current.maximumConnections)),
                ("client_recent_max_input_buffer", String(self.metrics.largestInput)),
                ("client_recent_max_output_buffer", String(self.metrics.largestOutput)),
                ("blocked_clients", String(self.metrics.waiting)),
                ("pipeline_buffer_bytes", String(self.shared.configuration.pipelineBufferBytes)),
            ]
        )
    }

    private func memory() -> InfoSection {
        let resident = ProcessMemory.read()
        return InfoSection(
            "Memory",
            [
                ("used_memory", String(resident.anonymous)), ("used_memory_rss", String(resident.resident)),
                ("used_memory_peak", String(resident.peak)), ("mem_clients_normal", String(self.metrics.heldBytes)),
                ("maxmemory_clients", String(self.shared.configuration.allClientsBytes)),
            ]
        )
    }

    private func stats() -> InfoSection {
        InfoSection(
            "Stats",
            [
                ("total_connections_received", String(self.metrics.connectionsReceived)),
                ("total_commands_processed", String(self.metrics.commandsProcessed)),
                ("total_net_input_bytes", String(self.metrics.inputBytes)),
                ("total_net_output_bytes", String(self.metrics.outputBytes)),
                ("rejected_connections", String(self.shared.rejected.load(ordering: .relaxed))),
                ("evicted_clients", String(self.metrics.evicted)), ("timed_out_clients", String(self.metrics.timedOut)),
                ("protocol_errors", String(self.metrics.protocolErrors)),
                ("acl_access_denied_auth", String(self.metrics.authFailures)),
                ("loop_turn_cpu_us_max", String(self.metrics.longestTurnNanoseconds / 1_000)),
                ("total_error_replies", String(self.metrics.errorReplies)),
                ("deferred_jobs", String(self.shared.work.count)),
            ]
        )
    }

    /// Returns the section that clients and proxies look for which send only to a primary.
    private func replication() -> InfoSection {
        InfoSection("Replication", [("role", "master"), ("connected_slaves", "0")])
    }

    /// Shows one key for each index, as DBSIZE counts them.
    private func keyspace() -> InfoSection {
        let count = self.shared.keyCount()
        return InfoSection("Keyspace", count == 0 ? [] : [("db0", "keys=\(count),expires=0,avg_ttl=0")])
    }

    private func cluster() -> InfoSection {
        guard let cluster = self.shared.cluster?.snapshot else {
            return InfoSection("Cluster", [("cluster_enabled", "0")])
        }
        let slots = cluster.shard.map { cluster.topology.shards[$0].slots.description }
        return InfoSection(
            "Cluster",
            [
                ("cluster_enabled", "1"), ("cluster_epoch", String(cluster.topology.epoch)),
                ("cluster_node", cluster.own.description), ("cluster_slots", slots ?? ""),
                ("cluster_unwell", cluster.unwell.map(\.description).sorted().joined(separator: ",")),
            ]
        )
    }

    private func commandStats() -> InfoSection {
        let lines = self.metrics.named(in: self.shared.table) { $0.calls + $0.rejected > 0 }.map { name, command in
            let microseconds = command.nanoseconds / 1_000
            let each = command.calls == 0 ? 0 : Double(command.nanoseconds / 10 / command.calls) / 100
            return (
                name: "cmdstat_\(name)",
                value: "calls=\(command.calls),usec=\(microseconds),usec_per_call=\(each),"
                    + "rejected_calls=\(command.rejected),failed_calls=\(command.failed)"
            )
        }
        return InfoSection("Commandstats", lines)
    }

    private func errorStats() -> InfoSection {
        InfoSection(
            "Errorstats",
            self.metrics.errors.sorted { $0.key < $1.key }.map { ("errorstat_\($0.key)", "count=\($0.value)") }
        )
    }

    private func latencyStats() -> InfoSection {
        let lines = self.metrics.named(in: self.shared.table) { $0.calls > 0 }.map { name, command in
            let parts = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)].map { label, fraction in
                "\(label)=\(Double(command.histogram.quantile(fraction)) / 1_000)"
            }
            return (name: "latency_percentiles_usec_\(name)", value: parts.joined(separator: ","))
        }
        return InfoSection("Latencystats", lines)
    }
}
