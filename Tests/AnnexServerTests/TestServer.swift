import AnnexCore
import AnnexServer
import AnnexWire
import Dispatch
import Glibc
import Logging
import NIOCore

/// Opens once: deferred commands of the test handler wait for it.
final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    /// How many have come to it.
    let arrivals = Watched()

    func open() { self.semaphore.signal() }
    func pass() {
        self.arrivals.add(1)
        self.semaphore.wait()
        self.semaphore.signal()
    }
}

/// What a long command has done; -1 once it has stopped.
final class Steps: Sendable {
    let count = Watched()
}

/// `EVENT user text` answers text from another thread, sometime soon; `EVENT NOW text` at once. `TOPK BYTES n` answers n bytes; `TOPK LATER text` answers text from another thread once the gate is open; `TOPK LONG` counts steps until it is told to stop, then sets them to -1; any other
/// TOPK answers its first argument.
final class TestHandler: CommandHandler {
    private let gate: Gate
    private let steps: Steps
    init(gate: Gate, steps: Steps) { (self.gate, self.steps) = (gate, steps) }

    /// Each change is answered its last word and how many there are, last first, from another thread. A change of `absent` is
    /// refused.
    func batch(_ changes: [Request], connection: inout ConnectionState) throws(ArgumentFailure) -> ChangeBatch {
        if changes.contains(where: { $0.count > 2 && $0.matches(2, "ABSENT") }) {
            throw ArgumentFailure(code: .noItem, "no item 'absent'")
        }
        let words = changes.map { $0.string($0.count - 1) }
        return ChangeBatch(count: changes.count) { batch in
            DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(2)) {
                for (index, word) in words.enumerated().reversed() {
                    batch.fulfil(index) { $0.bulk("\(word)/\(words.count)") }
                }
            }
        }
    }

    func handle(
        _ id: HandlerCommand,
        _ request: Request,
        connection: inout ConnectionState,
        reply: inout ReplyWriter
    ) -> Disposition {
        if id == .event, !request.matches(1, "NOW") {
            let text = request.string(2)
            // Of several that are owed any may come first.
            let microseconds = request.string(2).utf8.reduce(7) { ($0 &* 31 &+ Int($1)) % 1_009 }
            return .pending(bytes: request.heldBytes) { promise in
                DispatchQueue.global().asyncAfter(deadline: .now() + .microseconds(microseconds)) {
                    promise.fulfil { $0.bulk(text) }
                }
            }
        } else if request.matches(1, "BYTES") {
            reply.bulk(String(repeating: "x", count: request.integer(2) ?? 0))
        } else if request.matches(1, "LONG") {
            let steps = self.steps
            return .elsewhere(.query) { writer, stop in
                writer.bulk("half of a reply")
                while !stop.shouldStop() {
                    steps.count.add(1)
                    usleep(500)
                }
                steps.count.set(-1)
            }
        } else if request.matches(1, "LATER") {
            let text = request.string(2)
            let gate = self.gate
            return .elsewhere(.query) { writer, _ in
                gate.pass()
                writer.bulk(text)
            }
        } else {
            reply.bulk(request.string(1))
        }
        return .done
    }
}

/// Runs `body` against a server on a free port, then shuts it down.
func withServer(
    gate: Gate = Gate(),
    steps: Steps = Steps(),
    _ change: (inout ServerConfiguration) -> Void = { _ in },
    _ body: @escaping @Sendable (_ port: Int, _ server: LineServer) throws -> Void
) async throws {
    var configuration = ServerConfiguration()
    configuration.port = 0
    configuration.threads = 2
    configuration.authFailureDelay = .milliseconds(1)
    configuration.sweepInterval = .milliseconds(10)
    change(&configuration)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let server = try LineServer(
        configuration: configuration,
        makeHandler: { _, _ in TestHandler(gate: gate, steps: steps) },
        info: { [InfoSection("Indexes", [("indexes", "1")])] },
        logger: logger
    )
    let address = try await server.start()
    // Clients block, so they get a thread of their own instead of one of the few that run tasks.
    let result = await withCheckedContinuation { continuation in
        DispatchQueue.global().async {
            continuation.resume(returning: Result { try body(address.port ?? 0, server) })
        }
    }
    gate.open()
    await server.shutdown(grace: .seconds(1))
    try result.get()
}

extension Request {
    /// An argument as text, however long.
    func string(_ index: Int) -> String { self.withArgument(index) { String(decoding: $0, as: UTF8.self) } }
}
