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
        await NameLookups.shutDown(group)
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
        // The beginning is late enough that all loops have heard of it.
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
        var connection = RESPSettings(host: settings.host, port: settings.port, password: settings.password)
        connection.greeting.append([Array("PING".utf8)])
        connection.connectTimeout = patience
        connection.readsOncePerTurn = true
        do {
            try await RESPBootstrap.greet(connection, on: loop) { LoadConnection(worker) }.flatMapThrowing { channel in
                try channel.pipeline.syncOperations.handler(type: LoadConnection.self).greeted()
            }.get()
        } catch let failure as RESPFailure { throw failure.error }
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
