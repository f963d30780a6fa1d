import AnnexCore
import AnnexLog

/// A mistake that stands between a replica's machine and the world around it, so that a test sees whether the world notices.
enum LogFlaw {
    /// A change is acknowledged before the log has it.
    case acknowledgesBeforeAppend
    /// An entry that stands behind its end in the log is applied all the same.
    case countsExpired
}

/// A replica's machine, with a mistake around it or without one.
struct FlawedMachine {
    typealias Machine = ReplicationMachine<Int, String>

    private var machine: Machine
    private let flaw: LogFlaw?
    /// Tokens that were answered too early, and whose own answer is kept back.
    private var answered: Set<UInt64> = []

    init(_ machine: Machine, _ flaw: LogFlaw?) {
        self.machine = machine
        self.flaw = flaw
    }

    mutating func handle(_ event: Machine.Event, at now: Int64) -> [Machine.Action] {
        switch (self.flaw, event) {
        case (.acknowledgesBeforeAppend, .change(let token, let block, _, _, _)):
            let position = self.machine.mark(block).position
            let actions = self.machine.handle(event, at: now)
            guard actions.contains(where: { if case .append = $0 { true } else { false } }) else { return actions }
            self.answered.insert(token)
            return [.acknowledge(token: token, block: block, position, nil)] + actions
        case (.acknowledgesBeforeAppend, _): return self.machine.handle(event, at: now).filter { !self.repeats($0) }
        case (.countsExpired, .read(let number, let streams, let bytes, let isWhole)):
            let endless = streams.map { ($0.block, $0.entries.map(Self.endless)) }
            let event = Machine.Event.read(number: number, endless, bytes: bytes, isWhole: isWhole)
            return self.machine.handle(event, at: now)
        case (.countsExpired, _), (nil, _): return self.machine.handle(event, at: now)
        }
    }

    private func repeats(_ action: Machine.Action) -> Bool {
        switch action {
        case .acknowledge(let token, _, _, _), .refuse(let token, _): self.answered.contains(token)
        case .append, .read, .check, .claim, .adopt, .apply: false
        }
    }

    private static func endless(_ entry: ReadEntry<Int>) -> ReadEntry<Int> {
        ReadEntry(
            position: entry.position,
            content: entry.content.map { LogEntry(key: $0.key, block: $0.block, change: $0.change) }
        )
    }
}
