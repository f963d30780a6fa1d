import AnnexCore
import AnnexLog
import AnnexRouter

/// What is done to a cluster.
enum FaultKind: String, CaseIterable {
    case kill, pause, routerCut, logCut, logDown, connectionLoss, slow, delay, replyLost, applyFailure, lateAppend
    case logTrim, logLoss, overTrim, topologyChange, cancel, unfit
}

/// What one schedule is, all drawn from its seed.
struct SimPlan {
    enum Shape: CaseIterable {
        /// Anything, to anybody.
        case storm
        /// All replicas of shard 0, and nothing else: R4, R5.
        case shardGone
        /// One replica of shard 0, whose others live: R1.
        case replicaKilled
        case replicaStopped
        /// The log comes back without its last entries, or is trimmed too far: some replicas must refuse to go on.
        case logDamaged
        /// One client that repeats heavy reads, and nothing else: nobody else may notice.
        case greedy
        /// All replicas of shard 0 answer PINGs, and refuse all else for a while: when they serve again, they are asked again.
        case unfit
    }

    struct Fault {
        let kind: FaultKind
        /// Among all replicas.
        let replica: Int
        let start: UInt64
        let length: UInt64
    }

    static let greedyClient: UInt64 = 99
    static let warmUp = milliseconds(900)
    static let storm = milliseconds(2_500)

    let seed: UInt64
    let shape: Shape
    let shards: Int
    let replicasPerShard: Int
    let slots: [SlotSet]
    let acknowledgement: LogAcknowledgement
    let replication: ReplicationSettings
    let settings: RouterSettings
    /// Few users, whose streams are busy; empty: any.
    let busySlots: [Int]
    /// Nanoseconds between two requests, on average.
    let interval: Int
    let faults: [Fault]
    /// Heavy reads that one client has under way all the time.
    let greed: Int
    /// How shard 0 goes away.
    let departure: FaultKind

    init(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        self.seed = seed
        let shape: Shape =
            switch random.below(11) {
            case 10: .unfit
            case 9: .greedy
            case 8: .logDamaged
            case 0: .shardGone
            case 1: .replicaKilled
            case 2: .replicaStopped
            default: .storm
            }
        self.shape = shape
        self.shards = 2 + random.below(2)
        let isSingle = shape != .replicaKilled && shape != .replicaStopped
        self.replicasPerShard = isSingle ? 1 + random.below(3) : 2 + random.below(2)
        self.slots = Self.slots(self.shards, &random)
        self.acknowledgement = random.below(5) == 0 ? .log : .replica
        var replication = ReplicationSettings()
        replication.acknowledgement = self.acknowledgement
        replication.changeDeadline = 1_500
        replication.checkInterval = 300
        if random.below(3) == 0 { replication.readCount = 1 + random.below(8) }
        if shape == .storm, random.below(3) == 0 {
            replication.unappliedLimit = 1 + random.below(8)
            replication.pendingLimit = 1 + random.below(8)
        }
        self.replication = replication
        self.greed = shape == .greedy ? 1 + random.below(12) : 0
        var settings = RouterSettings()
        settings.heavyDeadline = milliseconds(1_200)
        settings.heavyInFlight = 1 + random.below(3)
        if random.below(4) == 0 { settings.heavyQueue = 1 + random.below(6) }
        if shape == .storm {
            settings.isHedging = random.below(4) != 0
            if random.below(3) == 0 {
                settings.inFlightPerReplica = 1 + random.below(12)
                settings.queueDepth = 2
            }
            if random.below(4) == 0 { settings.retriesPerThousand = random.below(300) }
            if random.below(4) == 0 { settings.retryReserve = random.below(4) }
        }
        self.settings = settings
        self.interval = 4_000_000 + random.below(8_000_000)
        self.busySlots = random.below(3) == 0 ? (0..<3).map { _ in random.below(Slot.count) } : []
        let departure = [FaultKind.kill, .pause, .routerCut][random.below(3)]
        self.departure = departure
        let count = self.shards * self.replicasPerShard
        var faults: [Fault] = []
        let start = Self.warmUp + milliseconds(random.below(200))
        let whole = (start: start, length: Self.warmUp + Self.storm - start)
        switch shape {
        case .shardGone:
            for replica in 0..<self.replicasPerShard {
                faults.append(Fault(kind: departure, replica: replica, start: whole.start, length: whole.length))
            }
        case .replicaKilled, .replicaStopped:
            let kind: FaultKind = shape == .replicaKilled ? .kill : .pause
            let length = milliseconds(300 + random.below(1_500))
            faults.append(Fault(kind: kind, replica: 0, start: whole.start, length: length))
        case .greedy: break
        case .unfit:
            let length = milliseconds(900 + random.below(900))
            for replica in 0..<self.replicasPerShard {
                faults.append(Fault(kind: .unfit, replica: replica, start: whole.start, length: length))
            }
        case .storm, .logDamaged:
            if shape == .logDamaged {
                let kind = random.below(2) == 0 ? FaultKind.logLoss : .overTrim
                let start = Self.warmUp + UInt64(random.below(Int(Self.storm)))
                faults.append(Fault(kind: kind, replica: 0, start: start, length: milliseconds(1 + random.below(200))))
                // One that is stopped meanwhile, and goes on reading where it was.
                let stop = Fault(
                    kind: .pause,
                    replica: random.below(count),
                    start: start - milliseconds(1 + random.below(100)),
                    length: milliseconds(20 + random.below(400))
                )
                faults.append(stop)
            }
            for _ in 0..<(1 + random.below(8)) {
                let kind = FaultKind.allCases[random.below(FaultKind.allCases.count)]
                if kind == .logLoss || kind == .overTrim || kind == .unfit { continue }
                let start = Self.warmUp + UInt64(random.below(Int(Self.storm)))
                let length = UInt64(random.below(Int(Self.warmUp + Self.storm - start))) + 1
                faults.append(Fault(kind: kind, replica: random.below(count), start: start, length: length))
            }
        }
        self.faults = faults
    }

    /// Shards border each other anywhere, also within a block of the log.
    private static func slots(_ count: Int, _ random: inout SeededRandom) -> [SlotSet] {
        var borders = [0]
        for shard in 1..<count {
            let even = Slot.count / count * shard
            borders.append(random.below(2) == 0 ? even / 1_024 * 1_024 : even - 300 + random.below(600))
        }
        borders.append(Slot.count)
        return (0..<count).map { SlotSet([borders[$0]...(borders[$0 + 1] - 1)]) }
    }
}
