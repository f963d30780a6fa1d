import AnnexCore
import AnnexLog
import Testing

/// Three replicas and a log in one thread, with everything going wrong that can, from a seed.
struct SmallWorld {
    typealias Machine = ReplicationMachine<Int, String>

    struct Replica {
        var machine: FlawedMachine
        /// What is durable, in the order of applying, and up to where.
        var state: [EntryKey] = []
        var mark = LogMark.start
        /// Entries that were handed over and are not durable.
        var storing: [(position: LogPosition, after: LogPosition, key: EntryKey?)] = []
        var inbox: [Machine.Event] = []
        var isConnected = false
    }

    private var random: SeededRandom
    private let acknowledgement: LogAcknowledgement
    private let flaw: LogFlaw?
    private(set) var log: [(position: LogPosition, entry: LogEntry<Int>)] = []
    private(set) var replicas: [Replica] = []
    private(set) var faults: [String: Int] = [:]
    private(set) var wrong: [String] = []
    private(set) var acknowledgedCount = 0
    private var asked: [UInt64: Int] = [:]
    private var refusedForSure: Set<Int> = []
    private var now: Int64 = 0
    private var identity: LogIdentity?
    private var tokens: UInt64 = 0

    init(seed: UInt64, flaw: LogFlaw? = nil) {
        self.random = SeededRandom(seed: seed)
        self.acknowledgement = seed % 2 == 0 ? .replica : .log
        self.flaw = flaw
        for _ in 0..<3 { self.replicas.append(Replica(machine: self.machine(.start))) }
    }

    private mutating func machine(_ mark: LogMark) -> FlawedMachine {
        var settings = ReplicationSettings()
        settings.acknowledgement = self.acknowledgement
        settings.readCount = 3
        let origin = EntryKey.Origin(high: self.random.next(), low: self.random.next())
        return FlawedMachine(Machine(origin: origin, blocks: [0], marks: [mark], settings: settings), self.flaw)
    }

    private mutating func count(_ fault: String) { self.faults[fault, default: 0] += 1 }

    mutating func run(steps: Int) {
        for _ in 0..<steps { self.step() }
        // Then all is well for a while.
        for _ in 0..<150 {
            self.now += 60
            for index in self.replicas.indices {
                if !self.replicas[index].isConnected { self.connect(index) }
                // A read that finds nothing is answered at once here, and asked again.
                for _ in 0..<20 where !self.replicas[index].inbox.isEmpty { self.deliver(index) }
                self.store(index, limit: .max)
                self.send(index, .tick)
            }
        }
        let keys = self.log.map(\.entry.key)
        if Set(keys).count != keys.count { self.wrong.append("an entry was appended twice") }
        let counting = self.log.filter { entry in entry.entry.until.map { entry.position.milliseconds <= $0 } ?? true }
        self.faults["too late", default: 0] += keys.count - counting.count
        for replica in self.replicas where replica.state != counting.map(\.entry.key) {
            self.wrong.append("a replica has not the log's entries in their order")
        }
        for entry in counting where self.refusedForSure.contains(entry.entry.change) {
            self.wrong.append("stored what was refused")
        }
    }

    private mutating func step() {
        let index = self.random.below(self.replicas.count)
        self.now += Int64(self.random.below(80))
        switch self.random.below(100) {
        case 0..<25 where self.log.count < 400:
            self.tokens += 1
            self.asked[self.tokens] = index
            self.send(
                index,
                .change(
                    token: self.tokens,
                    block: 0,
                    Int(self.tokens),
                    needsOutcome: self.random.below(4) == 0,
                    until: self.random.below(3) == 0 ? Int64(self.log.count + self.random.below(4)) : nil
                )
            )
        case 25..<60: if !self.replicas[index].inbox.isEmpty { self.deliver(index) }
        case 60..<78: self.store(index, limit: 1 + self.random.below(4))
        case 78..<84: self.send(index, .tick)
        case 84..<92: if !self.replicas[index].isConnected { self.connect(index) }
        case 92..<95 where self.replicas[index].isConnected:
            self.count("cut")
            self.replicas[index].isConnected = false
            self.replicas[index].inbox = []
            self.send(index, .disconnected("cut"))
        case 95..<97:
            self.count("kill")
            let mark = self.replicas[index].mark
            self.replicas[index] = Replica(machine: self.machine(mark), state: self.replicas[index].state, mark: mark)
            self.asked = self.asked.filter { $0.value != index }
        case 97..<99 where !self.replicas[index].storing.isEmpty:
            self.count("disk")
            let failed = self.replicas[index].storing
            self.replicas[index].storing = []
            for _ in failed { self.send(index, .applyFailed(block: 0, "no space")) }
        default: break
        }
    }

    private mutating func connect(_ index: Int) {
        self.replicas[index].isConnected = true
        self.send(index, .connected)
    }

    private mutating func deliver(_ index: Int) { self.send(index, self.replicas[index].inbox.removeFirst()) }

    private mutating func store(_ index: Int, limit: Int) {
        for _ in 0..<min(limit, self.replicas[index].storing.count) {
            let entry = self.replicas[index].storing.removeFirst()
            let mark = self.replicas[index].mark
            if entry.position <= mark.position {
                self.send(index, .applied(block: 0, mark, entry.key, nil))
            } else if entry.after == mark.position {
                let next = LogMark(position: entry.position, count: mark.count + 1)
                self.replicas[index].mark = next
                if let key = entry.key { self.replicas[index].state.append(key) }
                self.send(index, .applied(block: 0, next, entry.key, "done"))
            } else {
                self.send(index, .applyFailed(block: 0, "a gap"))
            }
        }
    }

    private mutating func send(_ index: Int, _ event: Machine.Event) {
        for action in self.replicas[index].machine.handle(event, at: self.now) { self.perform(index, action) }
    }

    private mutating func perform(_ index: Int, _ action: Machine.Action) {
        switch action {
        case .append(let entry):
            guard self.replicas[index].isConnected else { return }
            if self.random.below(20) == 0 { return self.count("append lost") }
            let position = LogPosition(milliseconds: UInt64(self.log.count + 1), sequence: 0)
            self.log.append((position, entry))
            if self.random.below(10) == 0 { return self.count("answer lost") }
            self.replicas[index].inbox.append(.appended(sequence: entry.key.sequence, position))
        case .read(let number, let blocks):
            let after = blocks[0].after
            let found = self.log.lazy.filter { $0.position > after }.prefix(3)
                .map { ReadEntry(position: $0.position, content: $0.entry) }
            self.replicas[index].inbox.append(.read(number: number, [(0, Array(found))]))
        case .check(let number, let marks):
            var facts = StreamFacts(block: 0, mark: marks[0].mark)
            facts.exists = !self.log.isEmpty
            (facts.last, facts.first) = (self.log.last?.position ?? .start, self.log.first?.position)
            (facts.added, facts.length) = (UInt64(self.log.count), UInt64(self.log.count))
            facts.hasEntry = self.log.contains { $0.position == marks[0].mark.position }
            if let problem = LogProblem(facts) { self.wrong.append("\(problem)") }
            self.replicas[index].inbox.append(.checked(number: number, [facts], log: self.identity))
        case .claim(let identity): if self.identity == nil { self.identity = identity }
        case .adopt(let identity):
            if identity != self.identity { self.wrong.append("adopted an id that the log does not have") }
        case .apply(let batch):
            var after = batch.after
            for entry in batch.entries {
                self.replicas[index].storing.append((entry.position, after, entry.content?.key))
                after = entry.position
            }
        case .acknowledge(let token, _, let position, let outcome): self.acknowledged(index, token, position, outcome)
        case .refuse(let token, let reason):
            guard self.asked.removeValue(forKey: token) == index else { return self.wrong.append("answered twice") }
            if reason.isStored == false { self.refusedForSure.insert(Int(token)) }
        }
    }

    private mutating func acknowledged(_ index: Int, _ token: UInt64, _ position: LogPosition, _ outcome: String?) {
        self.acknowledgedCount += 1
        guard self.asked.removeValue(forKey: token) == index else { return self.wrong.append("answered twice") }
        guard let stored = self.log.first(where: { $0.position == position }), stored.entry.change == Int(token) else {
            return self.wrong.append("acknowledged what the log does not have")
        }
        let isApplied = self.replicas[index].state.contains(stored.entry.key)
        if self.acknowledgement == .replica || outcome != nil, !isApplied {
            self.wrong.append("acknowledged before applied")
        }
    }
}

@Suite struct SmallWorldTests {
    private static let seeds: UInt64 = 150

    @Test func nothingThatIsAcknowledgedIsLost() {
        var faults: [String: Int] = [:]
        var acknowledged = 0
        for seed in 0..<Self.seeds {
            var world = SmallWorld(seed: seed)
            world.run(steps: 600)
            #expect(world.wrong.isEmpty, "seed \(seed): \(world.wrong.prefix(3))")
            faults.merge(world.faults) { $0 + $1 }
            acknowledged += world.acknowledgedCount
        }
        #expect(Set(faults.keys) == ["cut", "kill", "disk", "append lost", "answer lost", "too late"])
        #expect(acknowledged > 1_000)
        print(
            "SmallWorldTests: \(Self.seeds) seeds, \(acknowledged) acknowledged, faults: \(faults.sorted { $0.key < $1.key })"
        )
    }

    @Test(arguments: [LogFlaw.acknowledgesBeforeAppend, .countsExpired])
    func aFlawIsFound(_ flaw: LogFlaw) {
        let found = (0..<Self.seeds).first { seed in
            var world = SmallWorld(seed: seed, flaw: flaw)
            world.run(steps: 600)
            return !world.wrong.isEmpty
        }
        #expect(found != nil)
    }
}
