import AnnexClient
import AnnexCore
import Glibc
import NIOCore
import NIOPosix

/// Puts a load on a server and measures its latency.
package enum LoadGenerator {
    /// Connects, runs, closes. The connections are divided among `settings.threads` loops of its own.
    ///
    /// - Throws: `.system` where the server cannot be reached, closes a connection, says what is no reply, or leaves one
    ///   out for longer than the timeout. Replies that are errors are counted, not thrown.
    package static func run(_ settings: LoadSettings, _ requests: LoadRequests) async throws -> LoadResult {
        guard settings.duration != nil || settings.requests != nil else {
            throw AnnexError(.usage, "a load needs an end: a time or a number of requests")
        }
        Self.raiseDescriptorLimit(settings.connections)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads)
        let outcome: Result<LoadResult, any Error>
        do { outcome = .success(try await Self.run(settings, requests, group)) } catch { outcome = .failure(error) }
        try? await group.shutdownGracefully()
        return try outcome.get()
    }

    private static func run(_ settings: LoadSettings, _ requests: LoadRequests, _ group: MultiThreadedEventLoopGroup)
        async throws -> LoadResult
    {
        let address = "\(settings.host):\(settings.port)"
        var workers: [LoadWorker] = []
        for (thread, loop) in group.makeIterator().enumerated() {
            let share = LoadShare(settings, thread: thread)
            let worker = LoadWorker(eventLoop: loop, address: address, share: share, requests: requests)
            for _ in 0..<share.connections { try await Self.connect(worker, settings) }
            workers.append(worker)
        }
        // Late enough that all loops have heard of it.
        let begin = LoadClock.now() + 5_000_000
        let futures = workers.map { worker in worker.eventLoop.flatSubmit { worker.start(at: begin) } }
        var total = LoadTally(commands: requests.names.count)
        // The first failure of any ends all.
        let tallies = try await EventLoopFuture.whenAllSucceed(futures, on: group.next()).get()
        for tally in tallies { total.add(tally) }
        return LoadResult(total, commands: requests.names)
    }

    private static func connect(_ worker: LoadWorker, _ settings: LoadSettings) async throws {
        let loop = worker.eventLoop
        let patience = TimeAmount.nanoseconds(Int64(clamping: settings.timeout.nanoseconds))
        let password = settings.password
        let greeted = loop.makePromise(of: Void.self)
        do {
            _ = try await ClientBootstrap(group: loop)
                .connectTimeout(patience)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelOption(.maxMessagesPerRead, value: 1)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let connection = LoadConnection(worker: worker, password: password, greeted: greeted)
                        try channel.pipeline.syncOperations.addHandler(connection)
                    }
                }
                .connect(host: settings.host, port: settings.port).get()
        } catch {
            let failure = ConnectionFailure.refused(error, at: worker.address)
            greeted.fail(failure)
            throw failure
        }
        let late = loop.scheduleTask(in: patience) {
            greeted.fail(
                AnnexError(
                    .system,
                    "connected, but PING was not answered in time",
                    at: worker.address,
                    hint: "Does a server listen there that speaks RESP? See --port and --timeout"
                )
            )
        }
        defer { late.cancel() }
        try await greeted.futureResult.get()
    }

    /// Each connection needs a descriptor; the soft limit is often 1,024. Where it cannot be raised, connecting fails
    /// and says so.
    private static func raiseDescriptorLimit(_ connections: Int) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = max(limit.rlim_cur, min(rlim_t(connections + 64), limit.rlim_max))
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
